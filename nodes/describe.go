package nodes

import (
	"fmt"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// The words that nodes find for what they have decided. They run outside the
// data plane, on copies that a trace has made.

// ifaceName returns a function that names interfaces as st has them.
func ifaceName(st *state.State) func(uint32) string {
	return func(i uint32) string {
		if int(i) < len(st.Ifaces) && st.Ifaces[i].Name != "" {
			return st.Ifaces[i].Name
		}
		return fmt.Sprintf("interface %d", i)
	}
}

// linkLine writes an Ethernet header as tcpdump does.
func linkLine(p []byte) string {
	if len(p) < hdr.EtherLen {
		return ""
	}
	h := (*hdr.Ether)(p)
	return fmt.Sprintf("%s: %s -> %s", etherTypeName(h.Type()), macText(h.Src()), macText(h.Dst()))
}

func macText(m hdr.MAC) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func etherTypeName(t uint16) string {
	switch t {
	case hdr.TypeIPv4:
		return "IP4"
	case hdr.TypeIPv6:
		return "IP6"
	case hdr.TypeARP:
		return "ARP"
	}
	return fmt.Sprintf("0x%04x", t)
}

func describeOutput(r *graph.Record) string {
	name := ifaceName(r.State)(r.Meta.TxIf)
	if int(r.Meta.TxIf) < len(r.State.Ifaces) && r.State.Ifaces[r.Meta.TxIf].Ethernet {
		return name + " " + linkLine(r.Bytes)
	}
	return name
}

func describeARP(r *graph.Record) string {
	p := r.Bytes
	if r.L3 > 0 && r.L3 < len(p) {
		p = p[r.L3:]
	}
	if len(p) < hdr.ARPLen {
		return ""
	}
	h := (*hdr.ARP)(p)
	if h.Op() == hdr.ARPRequest {
		return fmt.Sprintf("who-has %s tell %s", h.TargetIP(), h.SenderIP())
	}
	return fmt.Sprintf("%s is-at %s", h.SenderIP(), macText(h.SenderMAC()))
}

func describeICMP(r *graph.Record) string {
	if r.Reason != "icmp error sent" || len(r.Bytes) < hdr.IPv4Len+hdr.ICMPLen {
		return ""
	}
	h, m := (*hdr.IPv4)(r.Bytes), (*hdr.ICMP)(r.Bytes[hdr.IPv4Len:])
	return fmt.Sprintf("icmp type %d code %d to %s from %s", m.Type(), m.Code(), h.Dst(), h.Src())
}

func describeND(r *graph.Record) string {
	p := r.Bytes
	if r.L3 > 0 && r.L3 < len(p) {
		p = p[r.L3:]
	}
	if len(p) < hdr.IPv6Len+hdr.NeighborSolLen || !isND(p) {
		return ""
	}
	m, _ := parseND(p[hdr.IPv6Len:], (*hdr.IPv6)(p).Src(), (*hdr.IPv6)(p).Dst())
	switch {
	case m.solicit:
		return fmt.Sprintf("who-has %s tell %s", m.target, (*hdr.IPv6)(p).Src())
	case m.hasMAC:
		return fmt.Sprintf("%s is-at %s", m.target, macText(m.mac))
	}
	return m.target.String() + " is there"
}

func describeICMP6(r *graph.Record) string {
	if r.Reason != "icmp6 error sent" || len(r.Bytes) < hdr.IPv6Len+hdr.ICMPLen {
		return ""
	}
	h, m := (*hdr.IPv6)(r.Bytes), (*hdr.ICMP)(r.Bytes[hdr.IPv6Len:])
	return fmt.Sprintf("icmp6 type %d code %d to %s from %s", m.Type(), m.Code(), h.Dst(), h.Src())
}
