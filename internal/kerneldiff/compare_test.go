package kerneldiff

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// An exception is a rule by which Skein and Linux differ on purpose. It has
// one of these, and names what it is about in the words of an RFC:
//
//   - ignores, which says which frames of Linux's count for nothing,
//   - explains, which says that this pair of outcomes is as it is to be, or
//   - levels, which takes out of the router's own messages what they may
//     differ in, before they are compared.
type exception struct {
	name     string
	why      string
	optional bool // it depends on the machine whether it is needed
	ignores  func(f frame) bool
	explains func(x *trial) bool
	levels   func(x *trial, out []frame) []frame
}

// A trial is one frame, and what both have sent because of it.
type trial struct {
	in            frame
	kernel, skein []frame
	packet        []byte // of in, behind the link header, without padding
	h4            *hdr.IPv4
	h6            *hdr.IPv6
	chain         hdr.Chain6
}

func newTrial(in frame, kernel, skein []frame) *trial {
	x := &trial{in: in, kernel: kernel, skein: skein, packet: in.bytes[hdr.EtherLen:]}
	switch t := (*hdr.Ether)(in.bytes).Type(); {
	case t == hdr.TypeIPv4 && len(x.packet) >= hdr.IPv4Len:
		x.h4 = (*hdr.IPv4)(x.packet)
		x.packet = x.packet[:min(len(x.packet), x.h4.Len())]
	case t == hdr.TypeIPv6 && len(x.packet) >= hdr.IPv6Len:
		x.h6 = (*hdr.IPv6)(x.packet)
		x.packet = x.packet[:min(len(x.packet), hdr.IPv6Len+x.h6.PayloadLen())]
		x.chain = hdr.Walk6(x.packet)
	}
	return x
}

// agree reports whether both have done the same, and which exceptions it took.
func (x *trial) agree(all []exception) (why []string, same bool) {
	for _, e := range all {
		n := len(x.kernel)
		if e.ignores != nil {
			x.kernel = slices.DeleteFunc(x.kernel, e.ignores)
		}
		if len(x.kernel) < n {
			why = append(why, e.name)
		}
	}
	more, same := x.compare(all)
	return append(why, more...), same
}

func (x *trial) compare(all []exception) (why []string, same bool) {
	if equal(x.kernel, x.skein) {
		return nil, true
	}
	if x.levelled(all, "") {
		for _, e := range all {
			if e.levels != nil && !x.levelled(all, e.name) {
				why = append(why, e.name)
			}
		}
		return why, true
	}
	for _, e := range all {
		if e.explains != nil && e.explains(x) {
			return []string{e.name}, true
		}
	}
	return nil, false
}

// levelled reports whether both are the same in what they have to be, by all
// rules but one.
func (x *trial) levelled(all []exception, but string) bool {
	k, s := clone(x.kernel), clone(x.skein)
	for _, e := range all {
		if e.levels != nil && e.name != but {
			k, s = e.levels(x, k), e.levels(x, s)
		}
	}
	return equal(k, s)
}

func clone(all []frame) []frame {
	out := slices.Clone(all)
	for i := range out {
		out[i].bytes = bytes.Clone(out[i].bytes)
	}
	return out
}

func equal(a, b []frame) bool {
	return slices.EqualFunc(a, b, func(a, b frame) bool { return a.port == b.port && bytes.Equal(a.bytes, b.bytes) })
}

// An icmp is an ICMP message of either family that the router itself has sent.
type icmp struct {
	src  netip.Addr
	h4   *hdr.IPv4 // one of the two
	h6   *hdr.IPv6
	body []byte // from the ICMP header on
}

// answer returns the message in a frame, nil if it is none of the router's, or
// not sound.
func answer(f frame) *icmp {
	p := f.bytes[hdr.EtherLen:]
	switch (*hdr.Ether)(f.bytes).Type() {
	case hdr.TypeIPv4:
		h := (*hdr.IPv4)(p)
		n := h.HeaderLen()
		if h.Protocol() == hdr.ProtoICMP && own(h.Src().Addr()) && h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0 && h.Len() <= len(p) &&
			hdr.Checksum(p[:n]) == 0 && hdr.Checksum(p[n:h.Len()]) == 0 {
			return &icmp{src: h.Src().Addr(), h4: h, body: p[n:h.Len()]}
		}
	case hdr.TypeIPv6:
		h := (*hdr.IPv6)(p)
		end := hdr.IPv6Len + h.PayloadLen()
		if h.NextHeader() == hdr.ProtoICMPv6 && own(h.Src().Addr()) && h.Checksum(hdr.ProtoICMPv6, p[hdr.IPv6Len:end]) == 0 {
			return &icmp{src: h.Src().Addr(), h6: h, body: p[hdr.IPv6Len:end]}
		}
	}
	return nil
}

// errorOf returns the type and code of the ICMP error that is all of an
// outcome, -1 if it is anything else.
func errorOf(out []frame) (typ, code int) {
	if len(out) != 1 {
		return -1, -1
	}
	m := answer(out[0])
	if m == nil || m.h4 != nil && !slices.Contains([]uint8{3, 11, 12}, m.body[0]) || m.h6 != nil && m.body[0] >= 128 {
		return -1, -1
	}
	return int(m.body[0]), int(m.body[1])
}

// isError reports whether an outcome is an ICMP error of a type and code.
func isError(out []frame, typ, code int) bool {
	t, c := errorOf(out)
	return t == typ && c == code
}

func (x *trial) kernelDrops() bool { return len(x.kernel) == 0 }
func (x *trial) skeinDrops() bool  { return len(x.skein) == 0 }

// forwarded reports whether an outcome is the packet of the trial as it is to
// be forwarded, whole, with one hop less.
func (x *trial) forwarded(out []frame) bool {
	if len(out) != 1 || len(out[0].bytes) < hdr.EtherLen+len(x.packet) {
		return false
	}
	p := bytes.Clone(x.packet)
	switch {
	case x.h4 != nil:
		(*hdr.IPv4)(p).DecTTL()
	case x.h6 != nil:
		(*hdr.IPv6)(p).DecHopLimit()
	default:
		return false
	}
	e := (*hdr.Ether)(out[0].bytes)
	to := &ports[out[0].port]
	return e.Src() == to.mac && e.Dst() == to.station && bytes.Equal(out[0].bytes[hdr.EtherLen:], p)
}

// toOwn reports whether the packet is to an address of the router's.
func (x *trial) toOwn() bool { return own(x.dst()) }

// dst and src are the addresses of the packet; not valid where it has none.
func (x *trial) dst() netip.Addr {
	switch {
	case x.h4 != nil:
		return x.h4.Dst().Addr()
	case x.h6 != nil:
		return x.h6.Dst().Addr()
	}
	return netip.Addr{}
}

func (x *trial) src() netip.Addr {
	switch {
	case x.h4 != nil:
		return x.h4.Src().Addr()
	case x.h6 != nil:
		return x.h6.Src().Addr()
	}
	return netip.Addr{}
}

// unresolved reports whether a frame is to or from a station on a link of the
// router's that it does not know yet.
func unresolved(f frame) bool {
	x := newTrial(f, nil, nil)
	for _, a := range []netip.Addr{x.dst(), x.src()} {
		for _, p := range ports {
			known := own(a) || a == broadcast(p.addr) || slices.Contains(p.neighbors, a.String())
			if !known && (p.addr.Contains(a) || p.addr6.Contains(a) || p.linkLocal.Contains(a)) {
				return true
			}
		}
	}
	return false
}

// toGroup reports whether the frame was sent to several stations.
func (x *trial) toGroup() bool { return (*hdr.Ether)(x.in.bytes).Dst().IsGroup() }

// reset reports whether Linux has answered a TCP segment, whose header begins
// at a place in the packet, by a reset; or a reset by nothing.
func (x *trial) reset(at int) bool {
	const flags = 13
	if at+flags >= len(x.packet) {
		return false
	}
	if x.packet[at+flags]&hdr.TCPRst != 0 {
		return x.kernelDrops()
	}
	if len(x.kernel) != 1 {
		return false
	}
	p := x.kernel[0].bytes[hdr.EtherLen:]
	if x.h4 != nil {
		return (*hdr.IPv4)(p).Protocol() == hdr.ProtoTCP && p[(*hdr.IPv4)(p).HeaderLen()+flags]&hdr.TCPRst != 0
	}
	return p[6] == hdr.ProtoTCP && p[hdr.IPv6Len+flags]&hdr.TCPRst != 0
}

// icmpType is the type of an ICMP message of IPv4, -1 if the packet is none.
func (x *trial) icmpType() int {
	if x.h4 == nil || x.h4.Protocol() != hdr.ProtoICMP || x.h4.HeaderLen() >= len(x.packet) {
		return -1
	}
	return int(x.packet[x.h4.HeaderLen()])
}

// shortUDP reports whether the packet's transport header, at a place, is that
// of a UDP datagram which ends before the packet.
func (x *trial) shortUDP(proto uint8, at int) bool {
	return proto == hdr.ProtoUDP && len(x.packet)-at >= hdr.UDPLen && (*hdr.UDP)(x.packet[at:]).Len() < len(x.packet)-at
}
