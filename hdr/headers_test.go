package hdr_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/pktline"
)

func packet(t *testing.T, line string) []byte {
	t.Helper()
	p, err := pktline.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The fields are where another implementation has put them.
func TestFields(t *testing.T) {
	p := packet(t, "02:00:00:00:00:01 > 03:00:00:00:00:02: 10.1.2.3 > 224.5.6.7: tcp 1111 > 2222 flags SC seq 4000000000 ack 9 ttl 33 tos 0xb8 ipid 4660 df mf offset 800 len 3")
	eth := (*hdr.Ether)(p)
	if eth.Src() != (hdr.MAC{2, 0, 0, 0, 0, 1}) || !eth.Dst().IsGroup() || eth.Src().IsGroup() || eth.Type() != hdr.TypeIPv4 {
		t.Errorf("Ethernet: % x", p[:14])
	}
	ip := (*hdr.IPv4)(p[14:])
	if ip.Version() != 4 || ip.HeaderLen() != 20 || ip.TOS() != 0xb8 || ip.Len() != 43 || ip.ID() != 4660 ||
		ip.Frag() != hdr.DontFragment|hdr.MoreFragments|100 || ip.TTL() != 33 || ip.Protocol() != hdr.ProtoTCP ||
		ip.Src().String() != "10.1.2.3" || ip.Dst().String() != "224.5.6.7" || !ip.Dst().IsMulticast() || ip.Sum20() != 0xffff {
		t.Errorf("IPv4: % x", p[14:34])
	}
	tcp := (*hdr.TCP)(p[34:])
	if tcp.SrcPort() != 1111 || tcp.DstPort() != 2222 || tcp.Seq() != 4000000000 || tcp.HeaderLen() != 20 || tcp.Flags() != hdr.TCPSyn|hdr.TCPCwr {
		t.Errorf("TCP: % x", p[34:])
	}
}

func TestFieldsUDPICMP(t *testing.T) {
	p := packet(t, "10.1.2.3 > 10.0.0.1: udp 5 > 6 len 7")
	u := (*hdr.UDP)(p[20:])
	if u.SrcPort() != 5 || u.DstPort() != 6 || u.Len() != 15 {
		t.Errorf("UDP: % x", p[20:])
	}
	u.SetLen(9)
	u.SetChecksum(0x1234)
	if u.Len() != 9 || u.Checksum() != 0x1234 {
		t.Errorf("UDP: % x", p[20:])
	}
	p = packet(t, "10.1.2.3 > 10.0.0.1: icmp echo-request id 77 seq 3")
	m := (*hdr.ICMP)(p[20:])
	if m.Type() != hdr.ICMPEcho || m.Code() != 0 || m.ID() != 77 || hdr.Checksum(p[20:]) != 0 {
		t.Errorf("ICMP: % x", p[20:])
	}
}

// What the setters write, another implementation reads.
func TestSetters(t *testing.T) {
	var frame [hdr.EtherLen + hdr.ARPLen]byte
	(*hdr.Ether)(frame[:]).Fill(hdr.BroadcastMAC, hdr.MAC{2, 0, 0, 0, 0, 9}, hdr.TypeARP)
	arp := (*hdr.ARP)(frame[hdr.EtherLen:])
	arp.Fill(hdr.ARPRequest, hdr.MAC{2, 0, 0, 0, 0, 9}, 0x0a000001, hdr.MAC{}, 0x0a000002)
	if !arp.Valid() || arp.Op() != hdr.ARPRequest || arp.TargetIP() != 0x0a000002 || arp.SenderIP() != 0x0a000001 ||
		arp.SenderMAC() != (hdr.MAC{2, 0, 0, 0, 0, 9}) || arp.TargetMAC() != (hdr.MAC{}) {
		t.Errorf("ARP: % x", frame)
	}
	if got, want := pktline.Format(frame[:], true), "02:00:00:00:00:09 > ff:ff:ff:ff:ff:ff: arp who-has 10.0.0.2 tell 10.0.0.1"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	var h hdr.IPv4
	h[0] = 0x45
	h.SetLen(20)
	h.SetID(7)
	h.SetFrag(hdr.DontFragment)
	h.SetTTL(9)
	h.SetSrc(1)
	h.SetDst(hdr.Broadcast4)
	h.SetChecksum(hdr.Checksum(h[:]))
	ip := new(layers.IPv4)
	if err := ip.DecodeFromBytes(h[:], gopacket.NilDecodeFeedback); err != nil {
		t.Fatal(err)
	}
	if ip.Id != 7 || ip.TTL != 9 || ip.Flags != layers.IPv4DontFragment || ip.SrcIP.String() != "0.0.0.1" || ip.DstIP.String() != "255.255.255.255" {
		t.Errorf("%+v", ip)
	}
}

func TestAddr4(t *testing.T) {
	for _, s := range []string{"0.0.0.0", "127.0.0.1", "10.1.2.3", "224.0.0.1", "239.255.255.255", "255.255.255.255"} {
		want := netip.MustParseAddr(s)
		a := hdr.Addr4From(want)
		if a.Addr() != want || a.IsMulticast() != want.IsMulticast() || a.IsLoopback() != want.IsLoopback() {
			t.Errorf("%s: %v multicast %t loopback %t", s, a, a.IsMulticast(), a.IsLoopback())
		}
	}
}

// At most two tags are skipped, and none that is cut off.
func TestLinkLen(t *testing.T) {
	frame := func(tags ...byte) []byte { return append(make([]byte, 12), tags...) }
	for _, test := range []struct {
		frame []byte
		want  int
	}{
		{frame(8, 0, 0x45, 0, 0, 0), 14},
		{frame(0x81, 0, 0, 5, 8, 0, 0x45), 18},
		{frame(0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0, 0x45), 22},
		{frame(0x81, 0, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 8, 0), 22},
		{frame(0x81, 0, 0, 5, 8), 14},
		{frame(0x81, 0, 0, 5, 0x81, 0, 0), 14},
		{frame(0x81, 0), 14},
		{nil, 14},
	} {
		if got := hdr.LinkLen(test.frame); got != test.want {
			t.Errorf("% x: %d bytes, want %d", test.frame, got, test.want)
		}
	}
}

func TestToWord(t *testing.T) {
	a := hdr.MAC{2, 0x80, 3, 0x90, 4, 0xff}
	for _, src := range []hdr.MAC{{2, 1, 1, 1, 1, 1}, {3, 1, 1, 1, 1, 1}, hdr.BroadcastMAC, {0xfe}} {
		var h hdr.Ether
		h.Fill(a, src, 0xffff)
		if h.ToWord() == a.Word() == src.IsGroup() {
			t.Errorf("from %x: %#x, to %#x", src, h.ToWord(), a.Word())
		}
		for bit := range 48 {
			h := h
			h[bit/8] ^= 1 << (bit % 8)
			if h.ToWord() == a.Word() {
				t.Errorf("from %x: bit %d of the destination makes no difference", src, bit)
			}
		}
	}
}
