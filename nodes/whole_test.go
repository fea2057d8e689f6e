package nodes_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// A whole is the graph with all its nodes and a queue in memory for each
// interface.
type whole struct {
	*graph.Worker
	world  *world
	pub    *state.Publisher
	queues []*memQueue // by interface index
	drops  map[string]uint64
}

func newWhole(t testing.TB, text string) *whole {
	t.Helper()
	return newWholeSessions(t, text, nil)
}

// newWholeSessions is newWhole with a table of sessions.
func newWholeSessions(t testing.TB, text string, sessions *session.Table) *whole {
	t.Helper()
	pool, err := buf.NewPool(10240, 64)
	if err != nil {
		t.Fatal(err)
	}
	w := &whole{world: newWorld(t, ""), pub: state.NewPublisher(), queues: make([]*memQueue, 1), drops: map[string]uint64{}}
	w.Worker, err = graph.New(graph.Config{Specs: nodes.All(), Input: nodes.DeviceInputArc,
		Ether: nodes.EtherEntry, IP: nodes.IPEntry, Pool: pool, Publisher: w.pub, Sessions: sessions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := pool.Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	w.change(t, text)
	return w
}

// change applies lines to the world, and gives new interfaces queues.
func (w *whole) change(t testing.TB, text string) {
	t.Helper()
	st := w.world.edit(t, text)
	graphtest.Publish(t, w.pub, st)
	for i, q := range w.world.rules.quotas {
		w.Flows.SetQuota(uint16(i), q)
	}
	for i := len(w.queues); i < len(st.Ifaces); i++ {
		q := &memQueue{ethernet: st.Ifaces[i].Ethernet}
		w.queues = append(w.queues, q)
		if err := w.AddPort(uint32(i), []drivers.Queue{q}); err != nil {
			t.Fatal(err)
		}
	}
}

// advance lets time pass, and the worker take turns until it is idle. Packets
// that it does not take at once wait for the next turn.
func (w *whole) advance(t testing.TB, ns int64) {
	t.Helper()
	now := w.Now + ns
	for again := true; again; {
		if err := w.RoundAt(now); err != nil {
			t.Fatal(err)
		}
		again = false
		for _, q := range w.queues[1:] {
			again = again || len(q.rx) > 0
		}
	}
	w.balance(t)
}

// balance fails the test if a buffer is in no place, or a packet has ended
// without a reason.
func (w *whole) balance(t testing.TB) {
	t.Helper()
	held := w.parked()
	s := w.Pool.Stats()
	if n := s.SmallFree + s.LargeFree + held; n != s.Small+s.Large {
		t.Fatalf("%d buffers, %d free or parked", s.Small+s.Large, n)
	}
	var ended, reasons uint64
	for _, st := range w.Stats() {
		if st.Name == graph.Drop {
			ended = st.Packets
		}
		for _, a := range st.Arcs {
			if a.Node == graph.Drop {
				reasons += a.Count
			}
		}
	}
	if ended != reasons {
		t.Fatalf("%d packets have ended, %d with a reason", ended, reasons)
	}
}

// parked returns how many packets wait in nodes.
func (w *whole) parked() int {
	n := 0
	for _, name := range []string{"ip4-arp", "ip6-nd", "ip4-handoff", "ip6-handoff", "ip4-session", "ip6-session"} {
		n += w.Node(name).(graphtest.Parker).Parked()
	}
	return n
}

// newDrops returns the drops since the last call, a line for each reason.
func (w *whole) newDrops() (out []string) {
	for _, st := range w.Stats() {
		for _, a := range st.Arcs {
			key := st.Name + ": " + a.Reason
			if n := a.Count - w.drops[key]; a.Drop && n > 0 {
				out = append(out, fmt.Sprintf("%d %s", n, key))
				w.drops[key] = a.Count
			}
		}
	}
	return out
}

// sent returns what the interfaces have sent since the last call, a line for
// each packet, by interface.
func (w *whole) sent() (out []string) {
	for i, q := range w.queues[1:] {
		for _, s := range q.sent {
			out = append(out, w.State.Ifaces[i+1].Name+": "+s)
		}
		q.sent = nil
	}
	return out
}

// A memPacket is to be received: load makes a packet of size bytes of a buffer.
type memPacket struct {
	size int
	load func(b *buf.Buffer)
}

// A memQueue is a device in memory. What it sends becomes lines.
type memQueue struct {
	ethernet bool
	quiet    bool // do not write lines
	rx       []memPacket
	missed   int // packets that found no buffer
	sent     []string
	count    int
}

func (q *memQueue) Rx(p *buf.Pool, into []*buf.Buffer) (n int) {
	taken := min(len(into), len(q.rx))
	for _, x := range q.rx[:taken] {
		got := 0
		if x.size > buf.SmallStride-buf.Headroom {
			got = p.GetLarge(into[n : n+1])
		} else {
			got = p.Get(into[n : n+1])
		}
		if got == 0 {
			q.missed++
			continue
		}
		x.load(into[n])
		n++
	}
	q.rx = q.rx[taken:]
	return n
}

func (q *memQueue) Tx(p *buf.Pool, bufs []*buf.Buffer) int {
	q.count += len(bufs)
	if !q.quiet {
		for _, b := range bufs {
			q.sent = append(q.sent, q.format(b))
		}
	}
	p.Put(bufs)
	return len(bufs)
}

func (q *memQueue) FD() int               { return -1 }
func (q *memQueue) Stats() drivers.Stats  { return drivers.Stats{} }
func (q *memQueue) Close(*buf.Pool) error { return nil }

// format writes a packet as a line, with what is wrong with it.
func (q *memQueue) format(b *buf.Buffer) string {
	s := pktline.Format(b.Bytes(), q.ethernet)
	if b.GSOType != buf.GSONone {
		s += fmt.Sprintf(" {%s %d}", gsoNames[b.GSOType&^buf.GSOECN], b.GSOSize)
	}
	ip := b.Bytes()
	if q.ethernet && len(ip) >= hdr.EtherLen {
		if t := b.Ether().Type(); t != hdr.TypeIPv4 && t != hdr.TypeIPv6 {
			return s
		}
		ip = ip[hdr.EtherLen:]
	}
	if len(ip) >= hdr.IPv6Len && ip[0]>>4 == 6 {
		if bad := sums6(ip); bad != "" && b.Flags&buf.CsumPartial == 0 {
			s += " BAD " + bad
		}
		return s
	}
	if len(ip) < hdr.IPv4Len || ip[0]>>4 != 4 || (*hdr.IPv4)(ip).Len() > len(ip) {
		return s
	}
	if bad := sums(ip); bad != "" && b.Flags&buf.CsumPartial == 0 {
		s += " BAD " + bad
	}
	return s
}

var gsoNames = map[buf.GSOType]string{buf.GSOTCPv4: "tcp4", buf.GSOTCPv6: "tcp6", buf.GSOUDP: "udp"}

// receive parses a line, perhaps with the size of segments behind it, as
// "{tcp4 1448}", into a packet for an interface to receive.
func receive(text string, ethernet bool) (memPacket, error) {
	text, offload, _ := strings.Cut(text, "{")
	p, err := pktline.Parse(text)
	if err != nil {
		return memPacket{}, err
	}
	var name string
	var size uint16
	if offload != "" {
		if _, err := fmt.Sscanf(strings.TrimSuffix(offload, "}"), "%s %d", &name, &size); err != nil {
			return memPacket{}, fmt.Errorf("%q: %w", offload, err)
		}
	}
	return memPacket{len(p), func(b *buf.Buffer) {
		b.Set(p)
		for typ, n := range gsoNames {
			if n == name {
				superize(b, typ, size, ethernet)
			}
		}
	}}, nil
}

// superize makes b a superpacket whose checksum is left to others.
func superize(b *buf.Buffer, typ buf.GSOType, size uint16, ethernet bool) {
	b.GSOType, b.GSOSize = typ, size
	l3 := b.Off()
	if ethernet {
		l3 += hdr.EtherLen
	}
	b.L3, b.L4 = uint16(l3), uint16(l3+hdr.IPv4Len)
	version := b.Bytes()[l3-b.Off()] >> 4
	if version == 6 {
		at, _, _ := nodes.Chain6(b.Bytes()[l3-b.Off():])
		b.L4 = uint16(l3 + at)
	}
	b.CsumOffset = 16
	if typ == buf.GSOUDP {
		b.CsumOffset = 6
	}
	b.CsumStart = b.L4
	sum := b.IPv4AtL3().PseudoSum(b.End() - int(b.L4))
	if version == 6 {
		proto := uint8(hdr.ProtoTCP)
		if typ == buf.GSOUDP {
			proto = hdr.ProtoUDP
		}
		sum = b.IPv6AtL3().PseudoSum(proto, b.End()-int(b.L4))
	}
	at := int(b.L4) - b.Off() + int(b.CsumOffset)
	binary.BigEndian.PutUint16(b.Bytes()[at:], sum)
	b.Flags |= buf.CsumPartial
	b.L3, b.L4 = 0, 0 // a driver knows nothing of them
}

// The order in which nodes stand is the one in which packets visit them, but
// for these arcs, each of which costs a pass.
func TestOrder(t *testing.T) {
	backward := []string{
		"icmp4-input > ip4-lookup", // a reply
		"icmp4-error > ip4-lookup", // an error
		"ip4-arp > ip4-lookup",     // a parked packet
		"icmp6-input > ip6-lookup", // the same for IPv6
		"icmp6-error > ip6-lookup",
		"ip6-nd > ip6-lookup",
		"ip4-session > ip4-session", // fragments that have waited for their first
		"ip6-session > ip6-session",
		"ip4-handoff > ip4-handoff", // likewise
		"ip6-handoff > ip6-handoff",
		"ip4-decap > ip4-input", // out of a tunnel
		"ip6-decap > ip6-input",
	}
	all := nodes.All()
	place := map[string]int{graph.Drop: len(all)}
	for i, s := range all {
		place[s.Name] = i
	}
	var got []string
	for i, s := range all {
		ways := []string{}
		for _, to := range s.Arcs {
			ways = append(ways, to.Node)
		}
		if s.On != nil {
			at := slices.Index(s.On.Features, s.Name) // a feature goes on to later ones only
			ways = append(append(ways, s.On.Features[at+1:]...), s.On.End)
		}
		for _, to := range ways {
			if to == "" {
				continue
			}
			if p, ok := place[to]; !ok {
				t.Errorf("%s leads to %q, which is not a node", s.Name, to)
			} else if p <= i {
				got = append(got, s.Name+" > "+to)
			}
		}
	}
	slices.Sort(backward)
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, backward) {
		t.Errorf("backward arcs %q, want %q", got, backward)
	}
}

// A reason tells where a packet has died: no two nodes use the same words, but
// for those that are one node in several places.
func TestReasonsUnique(t *testing.T) {
	twins := map[string]string{"ip4-handoff": "ip4-session", "ip6-handoff": "ip6-session", "interface-tx": "interface-output", "tap-output": "uplink-output", "tun-output": "uplink-output"}
	where := map[string]string{}
	for _, s := range nodes.All() {
		for _, to := range s.Arcs {
			if to.Node != graph.Drop && !to.Dies {
				continue
			}
			name := s.Name
			if one := twins[name]; one != "" {
				name = one
			}
			if other := where[to.Reason]; other != "" && other != name {
				t.Errorf("%q is the reason of %s and of %s", to.Reason, other, name)
			}
			where[to.Reason] = name
		}
	}
}

// Every node is to be found, every feature is a node on its arc, and the arcs
// of different names have different numbers.
func TestFeatureArcs(t *testing.T) {
	on := map[string]*graph.FeatureArc{}
	for _, s := range nodes.All() {
		if s.New == nil || s.New() == nil {
			t.Errorf("%s makes no node", s.Name)
		}
		on[s.Name] = s.On
	}
	ids := map[uint8]string{}
	for _, arc := range nodes.FeatureArcs() {
		if other := ids[uint8(arc.ID)]; other != "" {
			t.Errorf("%s and %s have one number", arc.Name, other)
		}
		ids[uint8(arc.ID)] = arc.Name
		for _, f := range arc.Features {
			if on[f] != arc {
				t.Errorf("%s: feature %s does not go on along it", arc.Name, f)
			}
		}
		if _, ok := on[arc.End]; !ok && arc.End != graph.Drop {
			t.Errorf("%s ends at %q, which is not a node", arc.Name, arc.End)
		}
	}
	var names []string
	for name := range on {
		names = append(names, name)
	}
	sort.Strings(names)
	if len(names) != len(nodes.All()) {
		t.Errorf("%d names of %d nodes: %q", len(names), len(nodes.All()), names)
	}
}
