// Package cni answers one question: which configurations of container runtimes
// does Skein come with?
//
// They lie beside it as files; skein-cni install puts one in place. Maturity:
// new.
package cni

import _ "embed"

// Conflist is the list that is put in place where no other is named.
//
//go:embed 10-skein.conflist
var Conflist []byte
