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
	Via        hdr.Addr4 // next hop; 0 on a TUN or a glean
	Rewrite    [MaxRewrite]byte
	_          [8]byte
}

func (a *Adj) describe(ifname func(uint32) string) string {
	dev := ""
	if a.Iface != 0 {
		dev = " dev " + nameOf(a.Iface, ifname)
	}
	via := ""
	if a.Via != 0 {
		via = " via " + a.Via.String()
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
