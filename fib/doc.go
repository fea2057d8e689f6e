// Package fib answers one question: where does a packet for this address go?
//
// It has two halves. A Table4 or Table6 is an immutable snapshot: workers look
// packets up in it without a lock, and an Adj at the end of each lookup says
// what to do with them. A RIB is the one writer's side: it holds routes, next
// hops, interfaces and neighbors of one family, and makes each next table from
// the one before by copying only what changes.
//
// Maturity: both families are complete but for virtual routing tables and for
// IPv4 routes with IPv6 next hops (RFC 8950).
package fib
