package fib_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

const numIfaces = 4

func name(i uint32) string { return "if" + strconv.Itoa(int(i)) }

// A pair takes a sequence of changes as bytes, makes each in a RIB and in its
// twin, and compares.
type pair struct {
	t     *testing.T
	bytes []byte
	rib   *fib.RIB4
	twin  *twin
	table *fib.Table4
	old   []answers // of tables that later commits have left behind
}

// answers are what a table said when it was new.
type answers struct {
	table *fib.Table4
	adj   map[hdr.Addr4]fib.Adj
}

func newPair(t *testing.T, bytes []byte) *pair {
	return &pair{t: t, bytes: bytes, rib: fib.NewRIB4(), twin: newTwin()}
}

func (p *pair) run() {
	for len(p.bytes) > 0 {
		p.step()
	}
	p.compare()
	p.empty()
}

func (p *pair) byte() int {
	if len(p.bytes) == 0 {
		return 0
	}
	b := p.bytes[0]
	p.bytes = p.bytes[1:]
	return int(b)
}

func (p *pair) iface() uint32 { return uint32(p.byte()%numIfaces) + 1 }

// Few addresses and lengths, so that prefixes nest, and next hops lie in them.
func (p *pair) addr() netip.Addr {
	second := [4]byte{0, 1, 127, 255}
	b := p.byte()
	return netip.AddrFrom4([4]byte{10, second[b&3], second[b>>2&3], second[b>>4&3]})
}

func (p *pair) prefix() netip.Prefix {
	lengths := []int{0, 1, 7, 8, 9, 12, 15, 16, 17, 20, 23, 24, 25, 28, 31, 32}
	return netip.PrefixFrom(p.addr(), lengths[p.byte()%len(lengths)]).Masked()
}

func (p *pair) route() fib.Route {
	r := fib.Route{Prefix: p.prefix(), Metric: uint32(p.byte() & 1)}
	b := p.byte()
	r.Source = fib.Source(1 + b&1)
	r.Type = fib.TypeUnicast
	if b&0x70 == 0 {
		r.Type = fib.Type(b>>1&3) + fib.TypeLocal
	}
	for range b >> 2 & 3 {
		r.NextHops = append(r.NextHops, p.nextHop())
	}
	if r.Type != fib.TypeUnicast && r.Type != fib.TypePunt {
		r.NextHops = nil
	}
	return r
}

func (p *pair) nextHop() fib.NextHop {
	b := p.byte()
	n := fib.NextHop{Weight: uint8(b & 3)}
	if b&4 != 0 {
		n.Iface = p.iface()
	}
	if b&8 != 0 {
		n.Via = p.addr()
	}
	return n
}

func (p *pair) step() {
	switch op := p.byte() % 16; op {
	default:
		r := p.route()
		p.same("add", p.twin.add(r), p.rib.Add(r))
	case 7, 8, 9, 10:
		id := p.someRoute()
		r := fib.Route{Prefix: id.prefix, Source: id.source, Metric: id.metric}
		p.same("delete", p.twin.del(id), p.rib.Delete(r))
	case 11:
		b := p.byte()
		i := fib.Iface{Index: p.iface(), MTU: 1500 + uint32(b&2), MAC: hdr.MAC{2, byte(b & 4)}, Up: b&0x30 != 0, PointToPoint: b&0xc0 == 0}
		p.same("set interface", p.twin.setIface(i), p.rib.SetIface(i))
	case 12:
		i := p.iface()
		if p.byte()&3 == 0 {
			p.same("delete interface", p.twin.delIface(i), p.rib.DelIface(i))
		}
	case 13:
		n, mac := neighborID{p.iface(), p.addr()}, hdr.MAC{4, byte(p.byte())}
		p.same("set neighbor", p.twin.setNeighbor(n, mac), p.rib.SetNeighbor(n.iface, n.addr, mac))
	case 14:
		n := neighborID{p.iface(), p.addr()}
		p.same("delete neighbor", p.twin.delNeighbor(n), p.rib.DelNeighbor(n.iface, n.addr))
	case 15:
		p.compare()
	}
}

// someRoute is one that is there, if there is any.
func (p *pair) someRoute() routeID {
	p.twin.sort()
	b := p.byte()
	if n := len(p.twin.sorted); n > 0 {
		return p.twin.sorted[b%n]
	}
	return routeID{netip.MustParsePrefix("10.0.0.0/8"), fib.SourceStatic, 0}
}

func (p *pair) same(what string, ok bool, err error) {
	p.t.Helper()
	if ok != (err == nil) {
		p.t.Fatalf("%s: %v; its twin: %v", what, err, ok)
	}
	if err != nil && !errors.Is(err, fib.ErrInvalid) && !errors.Is(err, fib.ErrNotFound) {
		p.t.Fatalf("%s: not a typed error: %v", what, err)
	}
}

// probes are the addresses at and beside the edges of all that is there.
func (p *pair) probes() []hdr.Addr4 {
	out := []hdr.Addr4{0, 1<<32 - 1, 10 << 24}
	around := func(first, last hdr.Addr4) { out = append(out, first-1, first, last, last+1) }
	for id, r := range p.twin.routes {
		first := hdr.Addr4From(id.prefix.Addr())
		around(first, first+hdr.Addr4(1<<(32-id.prefix.Bits())-1))
		for _, n := range r.NextHops {
			if n.Via.IsValid() {
				out = append(out, hdr.Addr4From(n.Via))
			}
		}
	}
	for n := range p.twin.neighbors {
		around(hdr.Addr4From(n.addr), hdr.Addr4From(n.addr))
	}
	return out
}

func (p *pair) compare() {
	p.t.Helper()
	was := p.table
	p.table = p.rib.Commit()
	if again := p.rib.Commit(); again != p.table {
		p.t.Fatal("a commit without a change made a new table")
	}
	if why := p.rib.Fault(); why != "" {
		p.t.Fatal(why)
	}
	probes := p.probes()
	for _, a := range probes {
		got := set{}
		for h := range uint32(fib.MaxNextHops) {
			i := p.table.Lookup(a, h)
			got[p.table.Describe(i, nil)] = true
			p.checkAdj(p.table.Adj(i))
		}
		if want := p.twin.lookup(a.Addr()); got.String() != want.String() {
			p.t.Fatalf("%v goes %q, its twin %q\n%s", a, got, want, p.dump())
		}
		p.compareRoute(a.Addr())
	}
	p.compareVector(probes)
	if was != p.table {
		p.remember(probes)
	}
	for _, o := range p.old {
		for a, want := range o.adj {
			if got := *o.table.Adj(o.table.Lookup(a, 0)); got != want {
				p.t.Fatalf("%v in an old table goes %+v, went %+v", a, got, want)
			}
		}
	}
}

func (p *pair) compareVector(dst []hdr.Addr4) {
	hash, adj := make([]uint32, len(dst)), make([]uint32, len(dst))
	for i := range hash {
		hash[i] = uint32(i) * 0x9e3779b9
	}
	p.table.LookupVector(dst, hash, adj)
	for i, a := range dst {
		if want := p.table.Lookup(a, hash[i]); adj[i] != want {
			p.t.Fatalf("%v goes %d in a vector, %d alone", a, adj[i], want)
		}
	}
}

// compareRoute compares which route is in force.
func (p *pair) compareRoute(a netip.Addr) {
	want, ok := p.twin.best(a)
	got, found := p.rib.Lookup(a)
	if got.Route.Source == fib.SourceNeighbor && got.Route.Prefix.Bits() == 32 {
		return // its twin has no routes for neighbors
	}
	if ok != found || ok && idOf(got.Route) != idOf(want) {
		p.t.Fatalf("%v takes %s, its twin %s\n%s", a, got.Route.Text(nil), want.Text(nil), p.dump())
	}
}

func (p *pair) checkAdj(a *fib.Adj) {
	if a.Iface == fib.NoIface {
		return
	}
	link := p.twin.ifaces[a.Iface]
	want := fib.Adj{Kind: a.Kind, Iface: a.Iface, Via: a.Via, MTU: link.MTU}
	if a.Kind == fib.Forward && !link.PointToPoint {
		want.RewriteLen = hdr.EtherLen
		mac := p.twin.neighbors[neighborID{a.Iface, a.Via.Addr()}]
		(*hdr.Ether)(want.Rewrite[:14]).Fill(mac, link.MAC, hdr.TypeIPv4)
	}
	if *a != want {
		p.t.Fatalf("adjacency %+v, want %+v", *a, want)
	}
}

func (p *pair) remember(probes []hdr.Addr4) {
	o := answers{p.table, map[hdr.Addr4]fib.Adj{}}
	for _, a := range probes {
		o.adj[a] = *p.table.Adj(p.table.Lookup(a, 0))
	}
	if p.old = append(p.old, o); len(p.old) > 4 {
		p.old = p.old[1:]
	}
}

func (p *pair) dump() string {
	out := ""
	for e := range p.rib.Routes() {
		out += e.Route.Text(nil) + "\n"
	}
	return out
}

// empty takes everything away and looks for what is left.
func (p *pair) empty() {
	for id := range p.twin.routes {
		r := fib.Route{Prefix: id.prefix, Source: id.source, Metric: id.metric}
		p.same("delete", true, p.rib.Delete(r))
	}
	for i := range p.twin.ifaces {
		p.same("delete interface", true, p.rib.DelIface(i))
	}
	p.twin = newTwin()
	p.compare()
	if left := p.rib.Leftovers(); left != "" {
		p.t.Fatalf("after everything was deleted: %s", left)
	}
}

func TestTwin(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 0))
		bytes := make([]byte, 200+rng.IntN(2000))
		for i := range bytes {
			bytes[i] = byte(rng.Uint32())
		}
		newPair(t, bytes).run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzChanges(f *testing.F) {
	f.Add([]byte{11, 0xf0, 1, 0, 0, 4, 0, 0x74, 4, 1, 15, 13, 1, 5, 9, 15})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) > 1000 {
			return
		}
		newPair(t, bytes).run()
	})
}
