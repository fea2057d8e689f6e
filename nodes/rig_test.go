package nodes_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// reached are the arcs that packets have taken in the tests of single nodes,
// as "node: reason".
var reached = struct {
	sync.Mutex
	arcs map[string]bool
}{arcs: map[string]bool{}}

// TestMain fails a whole run of the tests if an arc of a node was never taken:
// a reason that no test gives is one that nobody knows to be right.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, partial := range []string{"test.run", "test.skip", "test.fuzz", "test.bench", "test.list"} {
		if f := flag.Lookup(partial); f != nil && f.Value.String() != "" {
			os.Exit(code)
		}
	}
	if code == 0 {
		code = unreached()
	}
	os.Exit(code)
}

// unreached prints the arcs that no test has taken, and returns 1 if there are
// any.
func unreached() (code int) {
	for _, spec := range nodes.All() {
		for _, to := range spec.Arcs {
			if key := spec.Name + ": " + to.Reason; to != (graph.To{}) && !reached.arcs[key] {
				fmt.Printf("no test takes the arc %q\n", key)
				code = 1
			}
		}
	}
	return code
}

// on puts a node on a bench.
func on(t testing.TB, spec graph.Spec, st state.State) *graphtest.Rig {
	t.Helper()
	rig := graphtest.New(t, spec, st)
	t.Cleanup(func() {
		reached.Lock()
		defer reached.Unlock()
		for _, a := range rig.Stats()[0].Arcs {
			if a.Count > 0 {
				reached.arcs[spec.Name+": "+a.Reason] = true
			}
		}
	})
	return rig
}

// line makes a packet of a tcpdump line.
func line(t testing.TB, s string) []byte {
	t.Helper()
	p, err := pktline.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A row is a packet of a table, and what is to become of it.
type row struct {
	packet string              // as tcpdump prints it
	change func(p []byte)      // spoils the packet
	meta   func(b *buf.Buffer) // changes what the nodes before are to have set
	reason string              // the arc it leaves by; "" if it stays
	out    string              // the packet as it leaves, "" as it came
}

// bytes returns the row's packet.
func (r *row) bytes(t testing.TB) []byte {
	t.Helper()
	p := line(t, r.packet)
	if r.change != nil {
		r.change(p)
	}
	return p
}

// check sends all rows through a node as one vector: no packet may mind its
// neighbors. Then it sends them again and again, and counts allocations.
func check(t *testing.T, rig *graphtest.Rig, prepare func(b *buf.Buffer), rows []row) {
	t.Helper()
	packets := make([][]byte, len(rows))
	for i := range rows {
		packets[i] = rows[i].bytes(t)
	}
	setUp := func(i int, b *buf.Buffer) {
		if prepare != nil {
			prepare(b)
		}
		if rows[i].meta != nil {
			rows[i].meta(b)
		}
	}
	bufs := rig.Load(t, packets...)
	for i, b := range bufs {
		setUp(i, b)
	}
	results := rig.RunBufs(t, bufs...)
	for i := range rows {
		rows[i].compare(t, packets[i], find(results, bufs[i]))
	}
	rig.Put(results)
	at := 0
	rig.NoAllocs(t, func(b *buf.Buffer) {
		setUp(at, b)
		at = (at + 1) % len(rows)
	}, packets...)
}

// find returns what has become of b.
func find(results []graphtest.Result, b *buf.Buffer) graphtest.Result {
	for _, x := range results {
		if x.Buffer == b {
			return x
		}
	}
	return graphtest.Result{}
}

func (r *row) compare(t *testing.T, packet []byte, got graphtest.Result) {
	t.Helper()
	if got.Reason != r.reason {
		t.Errorf("%s\nleft by %q, want %q", r.packet, got.Reason, r.reason)
		return
	}
	switch {
	case got.Buffer == nil:
	case r.out == "":
		if !bytes.Equal(got.Bytes(), packet) {
			t.Errorf("%s\nleft as % x\ncame as % x", r.packet, got.Bytes(), packet)
		}
	default:
		same(t, got.Bytes(), r.out)
	}
}

// same fails the test if a packet is not the one of a line.
func same(t *testing.T, p []byte, want string) {
	t.Helper()
	first, _, _ := strings.Cut(want, " ")
	if first == "hex" {
		if got := hexOf(p); got != want {
			t.Errorf("left as  %s\nwant     %s", got, want)
		}
		return
	}
	if got := pktline.Format(p, strings.Count(first, ":") == 5); got != want {
		t.Errorf("left as  %s\nwant     %s", got, want)
	}
}

// sound sets what ip4-input sets.
func sound(b *buf.Buffer) {
	b.L3 = uint16(b.Off())
	nodes.Check4(b)
	b.Hash = nodes.Hash4(b)
}

// routed sets what ip4-lookup sets too.
func routed(st state.State) func(b *buf.Buffer) {
	return func(b *buf.Buffer) {
		sound(b)
		b.Adj = st.FIB4.Lookup(b.IPv4().Dst(), b.Hash)
	}
}

// sound6 sets what ip6-input or ip6-extensions sets.
func sound6(b *buf.Buffer) {
	b.L3 = uint16(b.Off())
	nodes.Check6(b)
}

// routed6 sets what ip6-lookup sets too.
func routed6(st state.State) func(b *buf.Buffer) {
	return func(b *buf.Buffer) {
		sound6(b)
		b.Adj = nodes.Lookup6(st.FIB6, b.RxIf, b.IPv6().Dst(), b.Hash)
	}
}

// sums6 is sums for IPv6, where UDP must have a checksum.
func sums6(p []byte) string {
	h := (*hdr.IPv6)(p)
	if len(p) < hdr.IPv6Len+h.PayloadLen() {
		return "length"
	}
	p = p[:hdr.IPv6Len+h.PayloadLen()]
	at, proto, whole := nodes.Chain6(p)
	least := map[uint8]int{hdr.ProtoTCP: 20, hdr.ProtoUDP: 8, hdr.ProtoICMPv6: 4}[proto]
	if !whole || least == 0 || len(p)-at < least {
		return ""
	}
	if hdr.Fold(hdr.Sum(p[at:], uint64(h.PseudoSum(proto, len(p)-at)))) != 0xffff {
		return "transport checksum"
	}
	return ""
}

// sums returns what is wrong with the checksums of an IPv4 packet, "" if
// nothing is. A UDP datagram without a checksum is right.
func sums(p []byte) string {
	h := (*hdr.IPv4)(p)
	if hdr.Checksum(p[:h.HeaderLen()]) != 0 {
		return "header checksum"
	}
	if h.Frag()&(hdr.MoreFragments|hdr.FragOffset) != 0 {
		return ""
	}
	l4 := p[h.HeaderLen():h.Len()]
	pseudo := uint64(h.PseudoSum(len(l4)))
	switch h.Protocol() {
	case hdr.ProtoICMP:
		pseudo = 0
	case hdr.ProtoTCP:
	case hdr.ProtoUDP:
		if (*hdr.UDP)(l4).Checksum() == 0 {
			return ""
		}
	default:
		return ""
	}
	if hdr.Fold(hdr.Sum(l4, pseudo)) != 0xffff {
		return "transport checksum"
	}
	return ""
}

func addr6(s string) hdr.Addr6 { return hdr.Addr6From(netip.MustParseAddr(s)) }
