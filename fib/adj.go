package fib

import (
	"strconv"

	"github.com/skein-dataplane/skein/hdr"
)

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
	Via        hdr.Addr4 // next hop; 0 on a TUN, a glean, or in a Table6, whose Via has it
	Rewrite    [MaxRewrite]byte
	_          [8]byte
}

// describe puts the adjacency in words; via is its next hop, if it has one.
func (a *Adj) describe(via string, ifname func(uint32) string) string {
	dev := ""
	if a.Iface != 0 {
		dev = " dev " + nameOf(a.Iface, ifname)
	}
	if via != "" {
		via = " via " + via
	}
	if a.Kind == Forward {
		return (via + dev)[1:]
	}
	return kindNames[a.Kind%NumKinds] + via + dev
}

var kindNames = [NumKinds]string{
	NoRoute: "no route", Forward: "forward", Resolve: "resolve", Glean: "glean",
	Local: "local", Punt: "punt", Blackhole: "blackhole",
	Unreachable: "unreachable", Prohibit: "prohibit",
}

func (k Kind) String() string { return kindNames[k%NumKinds] }

// nameOf names an interface; nil stands for "if" and the index.
func nameOf(index uint32, ifname func(uint32) string) string {
	if ifname == nil {
		return "if" + strconv.FormatUint(uint64(index), 10)
	}
	return ifname(index)
}
