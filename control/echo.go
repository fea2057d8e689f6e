package control

import (
	"encoding/binary"
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// echoTTL is what an echo request has to live (RFC 1700, page 64).
const echoTTL = 64

// sendEcho puts an echo request into a worker's graph and returns when, by the
// workers' clock. The worker runs it.
func (c *Control) sendEcho(w *graph.Worker, r PingRequest, id, seq uint16) (int64, error) {
	var one [1]*buf.Buffer
	if w.Pool.Get(one[:]) == 0 {
		return 0, fmt.Errorf("control: %w: no packet buffers are free", ErrBusy)
	}
	node, fill := "ip4-lookup", fillEcho4
	if r.To.Is6() {
		node, fill = "ip6-lookup", fillEcho6
	}
	if err := fill(one[0], c.pub.Load(), r, uint32(id)<<16|uint32(seq)); err != nil {
		w.Pool.Put(one[:])
		return 0, err
	}
	one[0].Flags |= buf.Originated
	if !w.Inject(node, one[0]) {
		w.Pool.Put(one[:])
		return 0, fmt.Errorf("control: %w: the graph has no %s", ErrBusy, node)
	}
	return w.Now, nil
}

var errNoOwn = fmt.Errorf("control: %w: there is no own address to ping from; name one", ErrInvalid)

// pingable says why there is no use in sending a ping, if so. One to a
// blackhole is sent: a trace shows where it ends.
func pingable(k fib.Kind, r PingRequest) error {
	switch k {
	case fib.NoRoute:
		return fmt.Errorf("control: no route to %s", r.To)
	case fib.Punt:
		return fmt.Errorf("control: %w: %s is the host's own: ping it from another station", ErrInvalid, r.To)
	}
	return nil
}

// fillEcho4 makes b an echo request (RFC 792).
func fillEcho4(b *buf.Buffer, st *state.State, r PingRequest, rest uint32) error {
	to := hdr.Addr4From(r.To)
	adj := st.FIB4.Adj(st.FIB4.Lookup(to, 0))
	if err := pingable(adj.Kind, r); err != nil {
		return err
	}
	from := st.Source4(adj.Iface)
	if r.From.IsValid() {
		from = hdr.Addr4From(r.From)
	}
	if from == 0 {
		return errNoOwn
	}
	m := layEcho(b, hdr.IPv4Len, hdr.ICMPEcho, rest, r.Size)
	binary.BigEndian.PutUint16(m[2:], hdr.Checksum(m))
	h := b.IPv4()
	*h = hdr.IPv4{0: 0x45, 8: echoTTL, 9: hdr.ProtoICMP}
	h.SetLen(b.Len())
	h.SetSrc(from)
	h.SetDst(to)
	h.SetChecksum(hdr.Checksum(h[:]))
	return nil
}

// fillEcho6 makes b an echo request (RFC 4443, section 4.1).
func fillEcho6(b *buf.Buffer, st *state.State, r PingRequest, rest uint32) error {
	to := hdr.Addr6From(r.To)
	at := st.FIB6.Lookup(to, 0)
	if r.link != 0 {
		at = st.FIB6.LookupLink(r.link, to, 0)
	}
	adj := st.FIB6.Adj(at)
	if err := pingable(adj.Kind, r); err != nil {
		return err
	}
	from := st.Source6(adj.Iface)
	if r.link != 0 {
		b.TxIf, from = r.link, st.LinkSource6(r.link) // where ip6-lookup looks for what is Skein's own
	}
	if r.From.IsValid() {
		from = hdr.Addr6From(r.From)
	}
	if from.IsUnspecified() {
		return errNoOwn
	}
	m := layEcho(b, hdr.IPv6Len, hdr.ICMP6EchoRequest, rest, r.Size)
	h := b.IPv6()
	*h = hdr.IPv6{0: 0x60, 6: hdr.ProtoICMPv6, 7: echoTTL}
	h.SetPayloadLen(len(m))
	h.SetSrc(from)
	h.SetDst(to)
	binary.BigEndian.PutUint16(m[2:], h.Checksum(hdr.ProtoICMPv6, m))
	return nil
}

// layEcho lays out a packet of an IP header of l3 bytes and an echo request,
// whose checksum is still 0, and returns the latter.
func layEcho(b *buf.Buffer, l3 int, typ uint8, rest uint32, size int) []byte {
	b.SetLen(l3 + hdr.ICMPLen + size)
	b.L3, b.L4 = uint16(b.Off()), uint16(b.Off()+l3)
	m := b.Bytes()[l3:]
	m[0], m[1], m[2], m[3] = typ, 0, 0, 0
	binary.BigEndian.PutUint32(m[4:], rest)
	for i := range m[hdr.ICMPLen:] {
		m[hdr.ICMPLen+i] = byte(i)
	}
	return m
}
