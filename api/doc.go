// Package api answers one question: how does one talk to a Skein daemon?
//
// The contract is skein.proto, and skeinpb is what protoc makes of it. Dial
// gives a client that bounds every call in time and whose errors are sentences
// for a person to read. Maturity: new.
package api
