package nodes_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
)

// reassemble puts fragments together as RFC 791, section 3.2 says, from their
// IP headers on, and returns the payload. They have to be in order, without
// gap or overlap.
func reassemble(t *testing.T, fragments [][]byte) (payload []byte) {
	t.Helper()
	first := int((*hdr.IPv4)(fragments[0]).Frag()&hdr.FragOffset) * 8
	for i, f := range fragments {
		h := (*hdr.IPv4)(f)
		if bad := sums(f); bad != "" || h.Len() != len(f) {
			t.Errorf("fragment %d: bad %s, length %d of %d", i, bad, h.Len(), len(f))
		}
		if at := int(h.Frag()&hdr.FragOffset) * 8; at != first+len(payload) {
			t.Errorf("fragment %d begins at %d, want %d", i, at, first+len(payload))
		}
		if more := h.Frag()&hdr.MoreFragments != 0; !more && i+1 < len(fragments) {
			t.Errorf("fragment %d of %d says that it is the last", i, len(fragments))
		}
		payload = append(payload, f[h.HeaderLen():]...)
	}
	return payload
}

// fragment sends one packet through ip4-fragment and returns what leaves, from
// the IP headers on.
func fragments(t *testing.T, rig *graphtest.Rig, prepare func(*buf.Buffer), p []byte) (out [][]byte) {
	t.Helper()
	b := rig.Load(t, p)[0]
	prepare(b)
	got := rig.RunBufs(t, b)
	for _, x := range got {
		if x.Reason != "end of ip4-output" {
			t.Fatalf("left by %q", x.Reason)
		}
		q := x.Bytes()
		if rig.State.Ifaces[x.TxIf].Ethernet {
			if want := (hdr.MAC{2, 0, 0, 0, 0, 1}); x.Ether().Dst() != want {
				t.Errorf("to %v, want %v", x.Ether().Dst(), want)
			}
			q = q[hdr.EtherLen:]
		}
		out = append(out, slices.Clone(q))
	}
	rig.Put(got)
	return out
}

func TestIP4Fragment(t *testing.T) {
	for _, mtu := range []int{68, 576, 1400, 1499, 1500} {
		w := newWorld(t, aNode+fmt.Sprintf("interface pod2 tun mtu %d\ninterface eth0 uplink mac 02:00:00:00:00:10 addr 192.0.2.10 mtu %d peer tap0", mtu, mtu))
		rig := on(t, nodes.IP4Fragment, w.state)
		for _, dst := range []string{"10.1.0.8", "8.8.8.8"} {
			for _, size := range []int{mtu - 27, mtu, 1500, 2900, 4000} {
				if size <= mtu-28 {
					continue
				}
				p := line(t, fmt.Sprintf("10.1.0.7 > %s: udp 1 > 2 ttl 9 tos 8 ipid 4711 len %d", dst, size))
				out := fragments(t, rig, routed(w.state), p)
				if got := reassemble(t, out); !bytes.Equal(got, p[20:]) {
					t.Errorf("mtu %d, %d bytes: reassembled to %d of %d bytes", mtu, size, len(got), len(p)-20)
				}
				for i, f := range out {
					h := (*hdr.IPv4)(f)
					last := i+1 == len(out)
					if len(f) > mtu || h.TTL() != 8 || h.ID() != 4711 || h.TOS() != 8 || last != (h.Frag()&hdr.MoreFragments == 0) ||
						!last && len(f) <= mtu-8 {
						t.Errorf("mtu %d, fragment %d of %d: %d bytes, ttl %d, flags %#x", mtu, i, len(out), len(f), h.TTL(), h.Frag()>>13)
					}
				}
			}
		}
	}
}

// A fragment is cut as any packet is: offsets add up, and the last piece of
// one in the middle still says that more follows.
func TestIP4FragmentOfFragment(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Fragment, w.state)
	p := line(t, "10.1.0.7 > 10.1.0.8: proto 17 mf offset 4000 len 1480")
	out := fragments(t, rig, routed(w.state), p)
	if got := reassemble(t, out); !bytes.Equal(got, p[20:]) {
		t.Error("reassembled to something else")
	}
	if h := (*hdr.IPv4)(out[len(out)-1]); h.Frag()&hdr.MoreFragments == 0 || len(out) != 2 {
		t.Errorf("the last of %d pieces has flags %#x", len(out), h.Frag()>>13)
	}
}

// Skein's own packets and the host's lose no hop.
func TestIP4FragmentOriginated(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Fragment, w.state)
	for _, f := range fragments(t, rig, func(b *buf.Buffer) {
		routed(w.state)(b)
		b.Flags |= buf.Originated
	}, line(t, "10.1.0.1 > 10.1.0.8: icmp echo-reply id 1 ttl 64 len 3000")) {
		if ttl := (*hdr.IPv4)(f).TTL(); ttl != 64 {
			t.Errorf("ttl %d, want 64", ttl)
		}
	}
}

// A checksum left to the device is finished over the whole payload before it
// is cut.
func TestIP4FragmentChecksum(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Fragment, w.state)
	p := line(t, "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 3001")
	out := fragments(t, rig, func(b *buf.Buffer) {
		routed(w.state)(b)
		partial(b)
	}, p)
	if got := reassemble(t, out); !bytes.Equal(got, p[20:]) {
		t.Error("the checksum is not the one that a sender would have computed")
	}
}

// partial leaves the transport checksum of b to the device.
func partial(b *buf.Buffer) {
	h := b.IPv4AtL3()
	b.CsumStart, b.CsumOffset = b.L4, 6
	if h.Protocol() == hdr.ProtoTCP {
		b.CsumOffset = 16
	}
	n := b.End() - int(b.L4)
	at := int(b.L4) - b.Off() + int(b.CsumOffset)
	sum := h.PseudoSum(n)
	b.Bytes()[at], b.Bytes()[at+1] = byte(sum>>8), byte(sum)
	b.Flags |= buf.CsumPartial
}

// Of the options only those go into all fragments that say so (RFC 791,
// section 3.1: the copied flag).
func TestIP4FragmentOptions(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Fragment, w.state)
	opts := []byte{7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 1, 130, 3, 9} // record route; router alert and security are copied
	p := line(t, "10.1.0.7 > 10.1.0.8: proto 99 len 3000")
	withOptions(opts...)(p)
	out := fragments(t, rig, routed(w.state), p)
	if got := reassemble(t, out); !bytes.Equal(got, p[36:]) {
		t.Errorf("reassembled to %d of %d bytes", len(got), len(p)-36)
	}
	if got := out[0][20:36]; !bytes.Equal(got[:15], opts) {
		t.Errorf("options of the first: % x", got)
	}
	for _, f := range out[1:] {
		if got, want := f[20:(*hdr.IPv4)(f).HeaderLen()], []byte{148, 4, 0, 0, 130, 3, 9, 0}; !bytes.Equal(got, want) {
			t.Errorf("options of a later one: % x, want % x", got, want)
		}
	}
}

func TestIP4FragmentRefuses(t *testing.T) {
	w := newWorld(t, aNode+"interface pod2 tun mtu 68")
	rig := on(t, nodes.IP4Fragment, w.state)
	check(t, rig, routed(w.state), []row{
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 7000", reason: "ip4 MTU too small for a fragment"}, // 147 pieces
		{packet: "10.1.0.7 > 10.1.0.8: proto 17 offset 65480 len 200", reason: "ip4 fragment ends beyond 64 KiB"},
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 200", reason: "checksum offload does not fit the packet to fragment",
			meta: func(b *buf.Buffer) { b.Flags |= buf.CsumPartial; b.CsumStart = 4000 }},
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 200", reason: "checksum offload does not fit the packet to fragment",
			meta: func(b *buf.Buffer) { b.Flags |= buf.CsumPartial; b.CsumStart = b.L3 - 1 }},
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 200", reason: "checksum offload does not fit the packet to fragment",
			meta: func(b *buf.Buffer) { b.Flags |= buf.CsumPartial; b.CsumStart, b.CsumOffset = b.L3, 21 }}, // into the options
	})
	// Not all fragments find a buffer: none leaves, and none gets lost.
	all := make([]*buf.Buffer, 8192)
	n := rig.Pool.Get(all)
	rig.Pool.Put(all[:2])
	check(t, rig, routed(w.state), []row{{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 200", reason: "no buffers for fragments"}})
	rig.Pool.Put(all[2:n])
}

func TestIP4FragmentNoAllocs(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Fragment, w.state)
	rig.NoAllocs(t, routed(w.state), line(t, "10.1.0.7 > 10.1.0.8: udp 1 > 2 len 5000"), line(t, "10.1.0.7 > 8.8.8.8: udp 1 > 2 len 1500"))
}

func FuzzCopyOptions(f *testing.F) {
	f.Add([]byte{7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 1, 130, 3, 9, 0})
	f.Fuzz(func(t *testing.T, opts []byte) {
		opts = opts[:min(len(opts), 40)&^3]
		p := line(t, "10.1.0.7 > 10.1.0.8: proto 99 len 40")
		withOptions(opts...)(p)
		pool, err := buf.NewPool(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Arena().Close()
		var one [1]*buf.Buffer
		pool.Get(one[:])
		one[0].Set(p)
		if nodes.Check4(one[0]) != 0 {
			return // ip4-input refuses such options
		}
		head := p[:20+len(opts)]
		dst := make([]byte, 60)
		n := nodes.CopyOptions(dst, head)
		if n%4 != 0 || n < 20 || n > len(head) {
			t.Errorf("% x: %d bytes of header", opts, n)
		}
	})
}
