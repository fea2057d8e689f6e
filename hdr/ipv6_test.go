package hdr_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/skein-dataplane/skein/hdr"
)

func TestAddr6(t *testing.T) {
	for _, s := range []string{
		"::", "::1", "2001:db8::1", "fe80::1", "febf:ffff::1", "fec0::1", "fe7f::1", "ff02::1", "ff02::1:ff00:0",
		"ff05::1:3", "feff::", "fd00::ffff:ffff:ffff:ffff", "::ffff:192.0.2.1", "::fffe:192.0.2.1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		want := netip.MustParseAddr(s)
		a := hdr.Addr6From(want)
		if a.Addr() != want || a.String() != want.String() {
			t.Errorf("%s: %v", s, a)
		}
		got := [...]bool{a.IsMulticast(), a.IsLoopback(), a.IsLinkLocal(), a.IsUnspecified(), a.IsMapped4()}
		std := [...]bool{want.IsMulticast(), want.IsLoopback(), want.IsLinkLocalUnicast(), want.IsUnspecified(), want.Is4In6()}
		if got != std {
			t.Errorf("%s: %v, want %v", s, got, std)
		}
		next := hdr.Addr6From(want.Next())
		if want.Next().IsValid() && (a.Compare(next) != -1 || next.Compare(a) != 1 || a.Compare(a) != 0) {
			t.Errorf("%s is not before %v", s, next)
		}
	}
}

// RFC 4291, section 2.7.1, and RFC 2464, section 7, have these examples.
func TestSolicitedNode(t *testing.T) {
	a := hdr.Addr6From(netip.MustParseAddr("4037::01:800:200e:8c6c"))
	group := a.SolicitedNode()
	if group.String() != "ff02::1:ff0e:8c6c" || !group.IsSolicitedNode() || a.IsSolicitedNode() || group.MulticastScope() != hdr.ScopeLink {
		t.Errorf("%v", group)
	}
	if want := (hdr.MAC{0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c}); group.MulticastMAC() != want {
		t.Errorf("%x, want %x", group.MulticastMAC(), want)
	}
	if hdr.AllNodes6.IsSolicitedNode() || hdr.AllNodes6.String() != "ff02::1" || hdr.AllRouters6.String() != "ff02::2" || hdr.MLDv2Routers6.String() != "ff02::16" {
		t.Error("well-known groups")
	}
}

// What the setters write, another implementation reads, and the other way about.
func TestIPv6(t *testing.T) {
	src, dst := netip.MustParseAddr("2001:db8::1:2"), netip.MustParseAddr("fe80::3")
	var h hdr.IPv6
	h.SetFirst(0xb8, 0xfff_abcde)
	h.SetPayloadLen(40000)
	h.SetNextHeader(hdr.ProtoUDP)
	h.SetHopLimit(9)
	h.SetSrc(hdr.Addr6From(src))
	h.SetDst(hdr.Addr6From(dst))
	h.DecHopLimit()
	got := new(layers.IPv6)
	if err := got.DecodeFromBytes(append(h[:], make([]byte, 40000)...), gopacket.NilDecodeFeedback); err != nil {
		t.Fatal(err)
	}
	if got.Version != 6 || got.TrafficClass != 0xb8 || got.FlowLabel != 0xabcde || got.Length != 40000 ||
		got.NextHeader != layers.IPProtocolUDP || got.HopLimit != 8 || got.SrcIP.String() != src.String() || got.DstIP.String() != dst.String() {
		t.Errorf("%+v", got)
	}
	if h.Version() != 6 || h.TrafficClass() != 0xb8 || h.FlowLabel() != 0xabcde || h.PayloadLen() != 40000 ||
		h.NextHeader() != 17 || h.HopLimit() != 8 || h.Src().Addr() != src || h.Dst().Addr() != dst {
		t.Errorf("% x", h)
	}
}

// ext returns an extension header of n times 8 bytes.
func ext(next uint8, n int) []byte {
	return append([]byte{next, byte(n - 1)}, make([]byte, n*8-2)...)
}

func fragment(next uint8, offset int, more bool) []byte {
	b := []byte{next, 0xff, 0, 0, 1, 2, 3, 4}
	binary.BigEndian.PutUint16(b[2:], uint16(offset))
	if more {
		b[3] |= 1
	}
	return b
}

func chain(first uint8, exts ...[]byte) []byte {
	var h hdr.IPv6
	h.SetFirst(0, 0)
	h.SetNextHeader(first)
	return append(h[:], bytes.Join(exts, nil)...)
}

func TestWalk6(t *testing.T) {
	const hop, rt, frag, ah, dst, udp = hdr.ProtoHopByHop, hdr.ProtoRouting, hdr.ProtoFragment, hdr.ProtoAH, hdr.ProtoDstOpts, hdr.ProtoUDP
	many := func(n int) (out [][]byte) {
		for i := range n {
			out = append(out, ext(dst, 1))
			if i == n-1 {
				out[i][0] = udp
			}
		}
		return out
	}
	tests := []struct {
		name   string
		packet []byte
		want   hdr.Chain6
	}{
		{"no header", make([]byte, 39), hdr.Chain6{Fault: hdr.ChainShort}},
		{"none", chain(udp), hdr.Chain6{Proto: udp, Off: 40, NextAt: 6}},
		{"all", chain(hop, ext(dst, 1), ext(rt, 2), ext(frag, 3), fragment(ah, 0, true), []byte{dst, 4, 0, 0}, make([]byte, 20), ext(udp, 1)),
			hdr.Chain6{Proto: udp, Off: 128, NextAt: 120, Frag: 88, Routing: 64, Routing0: true, HopByHop: true}},
		{"later fragment", chain(frag, fragment(dst, 1480, false), []byte("anything")),
			hdr.Chain6{Proto: dst, Off: 48, NextAt: 40, Frag: 40, NotFirst: true}},
		{"nothing follows", chain(dst, ext(hdr.ProtoNone, 1)), hdr.Chain6{Proto: hdr.ProtoNone, Off: 48, NextAt: 40}},
		{"encrypted", chain(hdr.ProtoESP, make([]byte, 8)), hdr.Chain6{Proto: hdr.ProtoESP, Off: 40, NextAt: 6}},
		{"cut", chain(dst, ext(udp, 2)[:12]), hdr.Chain6{Fault: hdr.ChainShort, Proto: dst, Off: 40, NextAt: 6}},
		{"cut early", chain(dst, ext(udp, 1)[:7]), hdr.Chain6{Fault: hdr.ChainShort, Proto: dst, Off: 40, NextAt: 6}},
		{"second", chain(dst, ext(hop, 1), ext(udp, 1)), hdr.Chain6{Fault: hdr.ChainMisplaced, Proto: hop, Off: 48, NextAt: 40}},
		{"eight", chain(dst, many(8)...), hdr.Chain6{Proto: udp, Off: 104, NextAt: 96}},
		{"nine", chain(dst, many(9)...), hdr.Chain6{Fault: hdr.ChainLong, Proto: dst, Off: 104, NextAt: 96}},
	}
	for _, test := range tests {
		if got := hdr.Walk6(test.packet); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	f := (*hdr.Fragment)(fragment(udp, 1480, true))
	if f.NextHeader() != udp || f.Offset() != 1480 || !f.More() || f.ID() != 0x01020304 {
		t.Errorf("fragment % x", f)
	}
}

// A walk stays within the packet, whatever that says.
func FuzzWalk6(f *testing.F) {
	f.Add(chain(hdr.ProtoHopByHop, ext(hdr.ProtoRouting, 1), ext(hdr.ProtoFragment, 2), fragment(hdr.ProtoTCP, 0, true), make([]byte, 20)))
	f.Add(chain(hdr.ProtoAH, []byte{hdr.ProtoDstOpts, 4, 0, 0}, make([]byte, 20), ext(hdr.ProtoUDP, 1)))
	f.Fuzz(func(t *testing.T, p []byte) {
		c := hdr.Walk6(p)
		if len(p) < hdr.IPv6Len {
			if c.Fault != hdr.ChainShort {
				t.Fatalf("%d bytes: %+v", len(p), c)
			}
			return
		}
		if c.Off < hdr.IPv6Len || c.Off > len(p) || c.NextAt >= c.Off || p[c.NextAt] != c.Proto || c.Frag >= c.Off || c.Routing >= c.Off {
			t.Fatalf("%d bytes: %+v", len(p), c)
		}
		if c.Fault == hdr.ChainOK && !c.NotFirst && hdr.IsExt(c.Proto) {
			t.Fatalf("ended too early: %+v", c)
		}
	})
}

func TestChecksum6(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var h hdr.IPv6
		for i := range h {
			h[i] = byte(rng.Uint32())
		}
		h[0] = 0x60
		p := make([]byte, 8+rng.IntN(100))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		ip := &layers.IPv6{Version: 6, SrcIP: h[8:24], DstIP: h[24:40], NextHeader: layers.IPProtocolICMPv6}
		m := &layers.ICMPv6{TypeCode: layers.ICMPv6TypeCode(binary.BigEndian.Uint16(p))}
		if err := m.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		out := gopacket.NewSerializeBuffer()
		opts := gopacket.SerializeOptions{ComputeChecksums: true}
		if err := gopacket.SerializeLayers(out, opts, m, gopacket.Payload(p[4:])); err != nil {
			t.Fatal(err)
		}
		p[2], p[3] = 0, 0
		if got, want := h.Checksum(hdr.ProtoICMPv6, p), binary.BigEndian.Uint16(out.Bytes()[2:]); got != want {
			t.Fatalf("%#x, want %#x", got, want)
		}
		if h.Checksum(hdr.ProtoICMPv6, out.Bytes()) != 0 {
			t.Fatal("a right checksum is said to be wrong")
		}
	}
}
