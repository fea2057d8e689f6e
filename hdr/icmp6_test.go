package hdr_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/skein-dataplane/skein/hdr"
)

// A message that we write is read by another implementation.
func TestNeighbor(t *testing.T) {
	target := netip.MustParseAddr("2001:db8::7")
	var b [hdr.NeighborAdvLen + hdr.NDLinkLen]byte
	m := (*hdr.Neighbor)(b[:])
	m.Fill(hdr.ICMP6NeighborAdv, hdr.NDSolicited|hdr.NDOverride, hdr.Addr6From(target))
	m.SetChecksum(0x1234)
	hdr.FillNDLink((*[hdr.NDLinkLen]byte)(b[hdr.NeighborAdvLen:]), hdr.NDTargetLink, hdr.MAC{2, 0, 0, 0, 0, 7})
	got := new(layers.ICMPv6NeighborAdvertisement)
	if err := got.DecodeFromBytes(b[4:], gopacket.NilDecodeFeedback); err != nil {
		t.Fatal(err)
	}
	if got.Router() || !got.Solicited() || !got.Override() || got.TargetAddress.String() != target.String() ||
		len(got.Options) != 1 || got.Options[0].Type != layers.ICMPv6OptTargetAddress || !bytes.Equal(got.Options[0].Data, []byte{2, 0, 0, 0, 0, 7}) {
		t.Errorf("%+v", got)
	}
	if m.Type() != hdr.ICMP6NeighborAdv || m.Code() != 0 || m.Checksum() != 0x1234 || m.Flags() != hdr.NDSolicited|hdr.NDOverride || m.Target().Addr() != target {
		t.Errorf("% x", b)
	}
	if !hdr.ICMP6IsError(hdr.ICMP6TooBig) || hdr.ICMP6IsError(hdr.ICMP6EchoRequest) {
		t.Error("which messages are errors")
	}
}

// An advertisement as radvd sends it: hop limit 64, a lifetime of 1800 seconds,
// and a prefix, an MTU and the router's link address.
var routerAdv = []byte{
	134, 0, 0, 0, 64, 0x40, 0x07, 0x08, 0, 0, 0x75, 0x30, 0, 0, 0x03, 0xe8,
	3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0,
	0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	5, 1, 0, 0, 0, 0, 0x05, 0xdc,
	1, 1, 2, 0, 0, 0, 0, 1,
	1, 1, 2, 0, 0, 0, 0, 2, // once more: passed over
	200, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, // unknown: passed over
	14, 1, 1, 2, 3, 4, 5, 6,
}

func TestRouterAdv(t *testing.T) {
	ra := (*hdr.RouterAdv)(routerAdv)
	if ra.HopLimit() != 64 || ra.Managed() || !ra.OtherConfig() || ra.Lifetime() != 1800 || ra.Reachable() != 30000 || ra.Retransmit() != 1000 {
		t.Errorf("% x", *ra)
	}
	o, ok := hdr.ParseNDOptions(routerAdv[hdr.RouterAdvLen:])
	want := hdr.NDPrefixInfo{
		Prefix: hdr.Addr6From(netip.MustParseAddr("2001:db8:1::")), Bits: 64,
		OnLink: true, Autonomous: true, Valid: 86400, Preferred: 14400,
	}
	if !ok || o.Prefix != want || o.MTU != 1500 || o.SourceLink != (hdr.MAC{2, 0, 0, 0, 0, 1}) || !bytes.Equal(o.Nonce, []byte{1, 2, 3, 4, 5, 6}) {
		t.Errorf("%t, %+v", ok, o)
	}
	for typ := range uint8(64) {
		in := slices.Contains([]uint8{hdr.NDSourceLink, hdr.NDPrefix, hdr.NDMTU, hdr.NDNonce}, typ)
		if o.Has(typ) != in {
			t.Errorf("option %d is there: %t", typ, !in)
		}
	}
}

func TestParseNDOptionsErrors(t *testing.T) {
	long := bytes.Repeat([]byte{200, 1, 0, 0, 0, 0, 0, 0}, hdr.MaxNDOptions+1)
	tests := []struct {
		name    string
		options []byte
		want    bool
	}{
		{"none", nil, true},
		{"as many as we take", long[8:], true},
		{"too many", long, false},
		{"no length", []byte{1, 0, 2, 0, 0, 0, 0, 1}, false},
		{"beyond the message", []byte{1, 2, 2, 0, 0, 0, 0, 1}, false},
		{"cut", []byte{1, 1, 2, 0, 0, 0, 0}, false},
		{"a link address of 14 bytes", append([]byte{1, 2}, make([]byte, 14)...), false},
		{"a short prefix", append([]byte{3, 3}, make([]byte, 22)...), false},
		{"a prefix of 129 bits", append([]byte{3, 4, 129}, make([]byte, 29)...), false},
	}
	for _, test := range tests {
		if _, ok := hdr.ParseNDOptions(test.options); ok != test.want {
			t.Errorf("%s: %t", test.name, ok)
		}
	}
}

// Options are what another implementation finds, and none is beyond the message.
func FuzzParseNDOptions(f *testing.F) {
	f.Add(routerAdv[hdr.RouterAdvLen:])
	f.Add([]byte{2, 1, 2, 0, 0, 0, 0, 1, 5, 1, 0, 0, 0, 0, 5, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		o, ok := hdr.ParseNDOptions(p)
		var theirs layers.ICMPv6Options
		err := theirs.DecodeFromBytes(p, gopacket.NilDecodeFeedback)
		if !ok {
			return
		}
		if err != nil {
			t.Fatalf("% x: taken, though %v", p, err)
		}
		var known uint32
		for _, their := range theirs {
			if typ := uint8(their.Type); typ < 32 {
				if typ == hdr.NDSourceLink && known>>typ&1 == 0 && !bytes.Equal(their.Data, o.SourceLink[:]) {
					t.Fatalf("link address %x, want %x", o.SourceLink, their.Data)
				}
				known |= 1 << typ
			}
		}
		if known != o.Known {
			t.Fatalf("% x: options %b, want %b", p, o.Known, known)
		}
	})
}
