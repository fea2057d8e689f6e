package fib

import "github.com/skein-dataplane/skein/hdr"

// A Kind says what becomes of a packet. The zero Kind means that nobody has
// said.
type Kind uint8

const (
	NoRoute     Kind = iota // no prefix matches: tell the sender
	Forward                 // send to Iface behind Rewrite
	Resolve                 // the next hop's link address is not known yet: ask for Via
	Glean                   // on the link of Iface: ask for the packet's own destination
	Local                   // for this node: Skein answers itself
	Punt                    // for this node: the host behind tap Iface answers
	Blackhole               // drop and say nothing
	Unreachable             // drop and send destination unreachable
	Prohibit                // drop and send administratively prohibited
	NumKinds
)

// MaxRewrite is the number of bytes that an adjacency can put before a packet.
const MaxRewrite = 40

// An Adj is the end of a route: what to do with the packets that take it. It
// fills one cache line.
type Adj struct {
	Kind       Kind
	RewriteLen uint8 // bytes of Rewrite to put before the packet; 0 on a TUN
	_          uint16
	MTU        uint32    // largest IP packet that may leave this way, in bytes
	Iface      uint32    // index of the interface it leaves by
	Via        hdr.Addr4 // next hop; 0 on a TUN or a glean
	Rewrite    [MaxRewrite]byte
	_          [8]byte
}
