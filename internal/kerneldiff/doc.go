// Package kerneldiff answers one question: does Skein do to a packet what the
// kernel's router does?
//
// Its test builds one topology twice: a namespace in which Linux forwards
// between two veths, and Skein's graph between two queues in memory. Both get
// the same random frames, most of them plausible, and what comes out has to be
// the same: nothing, the forwarded bytes, or an ICMP message of the same type,
// code and quotation. Where they are to differ, exceptions4 and exceptions6
// say so, each with its reason, and an exception that nothing needs any more
// fails the test.
//
// A second test does so for services and source NAT, with nftables' rules, and
// has no exceptions.
//
//	go test ./internal/kerneldiff -frames 1000000 -seed 7
//	go test ./internal/kerneldiff -run /IPv6 -seed 7 -frame 123  (one of them)
//
// Maturity: stable.
package kerneldiff
