package nodes_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/afpacket"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/nodes"
)

// gso-segment cuts what Linux cuts, into the same packets: sequence numbers,
// identifications, flags, options with their timestamps, lengths and checksums.
func TestGSOSegmentAsLinux(t *testing.T) {
	l := lab.ForTest(t)
	a, b := l.Add(t, "a"), l.Add(t, "b")
	lab.Need(t, lab.Join(lab.End{NS: a, Link: "a0"}, lab.End{NS: b, Link: "b0"}))
	lab.Need(t, a.Offload(t.Context(), "a0", false, "tso", "gso", "tx-udp-segmentation"))
	w := newWorld(t, aNode)
	rig := on(t, nodes.GSOSegment, w.state)
	from, to := packetQueue(t, rig.Pool, a), packetQueue(t, rig.Pool, b)
	awaitWire(t, rig.Pool, from, to)

	rnd := rand.New(rand.NewPCG(9, 10))
	flags := []string{"A", "PA", "FPA", "CPA", "CEPA", "EA", "FA"}
	for i := range 150 {
		s := superpacket{ethernet: true, ip6: i%2 == 0, udp: i%3 == 0, flags: flags[rnd.IntN(len(flags))], seq: rnd.Uint32(),
			id: uint16(rnd.Uint32()), size: 200 + rnd.IntN(1200), options: rnd.IntN(11) * 4}
		s.payload = s.size + 1 + rnd.IntN(19*s.size)
		x := rig.Load(t, make([]byte, 4000))[0]
		s.load(t, x)
		if !s.udp && i%4 == 1 {
			x.GSOType |= buf.GSOECN // as a sender says that has set CWR, and must where its NIC would repeat it
		}
		prepareForLinux(s, x)
		again := rig.Load(t, make([]byte, 4000))[0]
		again.CopyMeta(x)
		again.Set(x.Bytes())
		again.TxIf = eth0

		if from.Tx(rig.Pool, []*buf.Buffer{x}) != 1 || from.Stats().TxErrors != 0 {
			t.Fatalf("%v: Linux does not take it: %+v", s, from.Stats())
		}
		ours := rig.RunBufs(t, again)
		theirs := segmentsFrom(rig.Pool, to, len(ours), 5*time.Second)
		if len(theirs) != len(ours) {
			t.Fatalf("%v: Linux makes %d segments of it, gso-segment %d", s, len(theirs), len(ours))
		}
		for n := range ours {
			if !bytes.Equal(ours[n].Bytes(), theirs[n]) {
				t.Fatalf("%v: segment %d of %d\nours   % x\nLinux's % x", s, n, len(ours), ours[n].Bytes()[:min(110, ours[n].Len())], theirs[n][:min(110, len(theirs[n]))])
			}
		}
		rig.Put(ours)
	}
}

// prepareForLinux gives a superpacket what its kernel would have: the sum of the
// pseudo-header, a timestamp among its options, some type of service.
func prepareForLinux(s superpacket, x *buf.Buffer) {
	p, l3 := x.Bytes(), hdr.EtherLen
	if s.ip6 {
		p[l3+1] |= 0x20 // ECT(0)
	} else {
		p[l3+1], p[l3+6] = 0xb9, 0x40 // EF and ECT(1), DF
		(*hdr.IPv4)(p[l3:]).SetChecksum(0)
		(*hdr.IPv4)(p[l3:]).SetChecksum(hdr.Checksum(p[l3 : l3+20]))
	}
	l4 := int(x.CsumStart) - x.Off()
	x.HdrEnd = x.CsumStart + uint16(hdrLen(s))
	if !s.udp && s.options >= 12 { // RFC 7323, appendix A
		copy(p[l4+20:], []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8})
	}
	binary.BigEndian.PutUint16(p[l4+int(x.CsumOffset):], pseudoSum(p, true))
}

func packetQueue(t *testing.T, p *buf.Pool, n *lab.Namespace) drivers.Queue {
	t.Helper()
	links, err := n.Links()
	lab.Need(t, err)
	d, err := afpacket.Open(afpacket.Config{Interface: links[len(links)-1], NetNS: n.Path()})
	lab.Need(t, err)
	q := d.Queues()[0]
	t.Cleanup(func() {
		if err := q.Close(p); err != nil {
			t.Error(err)
		}
	})
	return q
}

// awaitWire sends until something arrives: a kernel drops what is sent before it
// has looked at the carrier.
func awaitWire(t *testing.T, p *buf.Pool, from, to drivers.Queue) {
	t.Helper()
	probe := superpacket{ethernet: true, udp: true, size: 1}.packet(t, nil, 0, 0, nil)
	var v [64]*buf.Buffer
	for range 500 {
		p.Get(v[:1])
		v[0].Set(probe)
		p.Put(v[from.Tx(p, v[:1]):1])
		time.Sleep(10 * time.Millisecond)
		n := to.Rx(p, v[:])
		for _, b := range v[:n] {
			if isProbe(b) {
				p.Put(v[:n])
				return
			}
		}
		p.Put(v[:n])
	}
	t.Fatal("nothing gets through")
}

// segmentsFrom returns the test's packets, with finished checksums, as
// soon as there are as many, or what there is after a while.
func segmentsFrom(p *buf.Pool, q drivers.Queue, want int, patience time.Duration) (out [][]byte) {
	var v [64]*buf.Buffer
	end := time.Now().Add(patience)
	for len(out) < want && time.Now().Before(end) {
		n := q.Rx(p, v[:])
		for _, b := range v[:n] {
			if isOurs(b) && !isProbe(b) {
				out = append(out, finished(b))
			}
		}
		p.Put(v[:n])
		if n == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return out
}

func isOurs(b *buf.Buffer) bool {
	return bytes.HasPrefix(b.Bytes(), []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1})
}

// isProbe tells a datagram without payload, of which no segment is one.
func isProbe(b *buf.Buffer) bool { return isOurs(b) && b.Len() == 42 }
