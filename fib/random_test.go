package fib_test

import (
	"errors"
	"fmt"
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
type pair[A fib.Address, T fib.Table4 | fib.Table6] struct {
	*kind[A, T]
	t     *testing.T
	bytes []byte
	rib   *fib.RIB[A, T]
	twin  *twin
	table *T
	old   []answers[T] // of tables that later commits have left behind
}

// answers are what a table said when it was new.
type answers[T any] struct {
	table *T
	adj   map[probe]string
}

// A probe is a packet: its destination, and the link if that is link-local.
type probe struct {
	addr netip.Addr
	link uint32
}

func newPair[A fib.Address, T fib.Table4 | fib.Table6](t *testing.T, k *kind[A, T], bytes []byte) *pair[A, T] {
	return &pair[A, T]{kind: k, t: t, bytes: bytes, rib: k.newRIB(), twin: newTwin()}
}

func (p *pair[A, T]) run() {
	for len(p.bytes) > 0 {
		p.step()
	}
	p.compare()
	p.empty()
}

func (p *pair[A, T]) byte() int {
	if len(p.bytes) == 0 {
		return 0
	}
	b := p.bytes[0]
	p.bytes = p.bytes[1:]
	return int(b)
}

func (p *pair[A, T]) iface() uint32 { return uint32(p.byte()%numIfaces) + 1 }

// Few addresses and lengths, so that prefixes nest, and next hops lie in them.
func (p *pair[A, T]) addr() netip.Addr { return p.kind.addr(p.byte()) }

func (p *pair[A, T]) prefix() netip.Prefix {
	a := p.addr()
	if isLinkLocal(a) {
		return netip.PrefixFrom(a, 64+p.byte()%2*64).Masked()
	}
	return netip.PrefixFrom(a, p.lengths[p.byte()%len(p.lengths)]).Masked()
}

func (p *pair[A, T]) route() fib.Route {
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
	if isLinkLocal(r.Prefix.Addr()) && b&0x80 != 0 {
		r.Link = p.iface()
		r.NextHops = []fib.NextHop{{Iface: r.Link, Weight: 1}}
	}
	if r.Type != fib.TypeUnicast && r.Type != fib.TypePunt {
		r.NextHops = nil
	}
	return r
}

func (p *pair[A, T]) nextHop() fib.NextHop {
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

func (p *pair[A, T]) step() {
	switch op := p.byte() % 16; op {
	default:
		r := p.route()
		p.same("add", p.twin.add(r), p.rib.Add(r))
	case 7, 8, 9, 10:
		id := p.someRoute()
		r := fib.Route{Prefix: id.prefix, Link: id.link, Source: id.source, Metric: id.metric}
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
func (p *pair[A, T]) someRoute() routeID {
	p.twin.sort()
	b := p.byte()
	if n := len(p.twin.sorted); n > 0 {
		return p.twin.sorted[b%n]
	}
	return routeID{prefix: netip.MustParsePrefix("2001:db8::/32"), source: fib.SourceStatic}
}

func (p *pair[A, T]) same(what string, ok bool, err error) {
	p.t.Helper()
	if ok != (err == nil) {
		p.t.Fatalf("%s: %v; its twin: %v", what, err, ok)
	}
	if err != nil && !errors.Is(err, fib.ErrInvalid) && !errors.Is(err, fib.ErrNotFound) {
		p.t.Fatalf("%s: not a typed error: %v", what, err)
	}
}

// probes are the addresses at and beside the edges of all that is there.
func (p *pair[A, T]) probes() (out []probe) {
	add := func(a netip.Addr, link uint32) {
		if isLinkLocal(a) && link == 0 {
			link = 1
		}
		if a.IsValid() && a.BitLen() == p.bits {
			out = append(out, probe{a, link})
		}
	}
	around := func(first, last netip.Addr, link uint32) {
		add(first.Prev(), link)
		add(first, link)
		add(last, link)
		add(last.Next(), link)
	}
	add(p.kind.addr(0), 0)
	for id, r := range p.twin.routes {
		around(id.prefix.Addr(), lastOf(id.prefix), id.link)
		for _, n := range r.NextHops {
			add(n.Via, n.Iface)
		}
	}
	for n := range p.twin.neighbors {
		around(n.addr, n.addr, n.iface)
	}
	return out
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (p *pair[A, T]) compare() {
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
			i := p.lookup(p.table, a, h)
			got[p.describe(p.table, i)] = true
			p.checkAdj(i)
		}
		if want := p.twin.lookup(a.addr, a.link); got.String() != want.String() {
			p.t.Fatalf("%v goes %q, its twin %q\n%s", a, got, want, p.dump())
		}
		p.compareRoute(a)
	}
	p.compareVector(probes)
	if was != p.table {
		p.remember(probes)
	}
	for _, o := range p.old {
		for a, want := range o.adj {
			if got := p.answer(o.table, a); got != want {
				p.t.Fatalf("%v in an old table goes %s, went %s", a, got, want)
			}
		}
	}
}

func (p *pair[A, T]) compareVector(probes []probe) {
	var dst []A
	for _, a := range probes {
		if !isLinkLocal(a.addr) {
			dst = append(dst, p.from(a.addr))
		}
	}
	hash, adj := make([]uint32, len(dst)), make([]uint32, len(dst))
	for i := range hash {
		hash[i] = uint32(i) * 0x9e3779b9
	}
	p.lookupVector(p.table, dst, hash, adj)
	for i, a := range dst {
		if want := p.lookup(p.table, probe{addr: a.Addr()}, hash[i]); adj[i] != want {
			p.t.Fatalf("%v goes %d in a vector, %d alone", a, adj[i], want)
		}
	}
}

// compareRoute compares which route is in force.
func (p *pair[A, T]) compareRoute(a probe) {
	want, ok := p.twin.best(a.addr, a.link)
	got, found := p.rib.LookupLink(a.link, a.addr)
	if got.Route.Source == fib.SourceNeighbor && got.Route.Prefix.IsSingleIP() {
		return // its twin has no routes for neighbors
	}
	if ok != found || ok && idOf(got.Route) != idOf(want) {
		p.t.Fatalf("%v takes %s, its twin %s\n%s", a, got.Route.Text(nil), want.Text(nil), p.dump())
	}
	if _, found := p.rib.Lookup(a.addr); found != (ok && !isLinkLocal(a.addr)) {
		p.t.Fatalf("%v has a route: %t", a.addr, found)
	}
}

func (p *pair[A, T]) checkAdj(i uint32) {
	a := p.adj(p.table, i)
	if a.Iface == fib.NoIface {
		return
	}
	link := p.twin.ifaces[a.Iface]
	want := fib.Adj{Kind: a.Kind, Iface: a.Iface, Via: a.Via, MTU: link.MTU}
	if a.Kind == fib.Forward && !link.PointToPoint {
		want.RewriteLen = hdr.EtherLen
		mac := p.twin.neighbors[neighborID{a.Iface, p.via(p.table, i)}]
		(*hdr.Ether)(want.Rewrite[:14]).Fill(mac, link.MAC, p.etherType)
	}
	if *a != want {
		p.t.Fatalf("adjacency %+v, want %+v", *a, want)
	}
}

func (p *pair[A, T]) answer(table *T, a probe) string {
	i := p.lookup(table, a, 0)
	return fmt.Sprintf("%v %v", p.via(table, i), *p.adj(table, i))
}

func (p *pair[A, T]) remember(probes []probe) {
	o := answers[T]{p.table, map[probe]string{}}
	for _, a := range probes {
		o.adj[a] = p.answer(p.table, a)
	}
	if p.old = append(p.old, o); len(p.old) > 4 {
		p.old = p.old[1:]
	}
}

func (p *pair[A, T]) dump() string {
	out := ""
	for e := range p.rib.Routes() {
		out += e.Route.Text(nil) + "\n"
	}
	return out
}

// empty takes everything away and looks for what is left.
func (p *pair[A, T]) empty() {
	for id := range p.twin.routes {
		r := fib.Route{Prefix: id.prefix, Link: id.link, Source: id.source, Metric: id.metric}
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
	t.Run("IPv4", func(t *testing.T) { testTwin(t, ip4) })
	t.Run("IPv6", func(t *testing.T) { testTwin(t, ip6) })
}

func testTwin[A fib.Address, T fib.Table4 | fib.Table6](t *testing.T, k *kind[A, T]) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 0))
		bytes := make([]byte, 200+rng.IntN(2000))
		for i := range bytes {
			bytes[i] = byte(rng.Uint32())
		}
		newPair(t, k, bytes).run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func fuzzChanges[A fib.Address, T fib.Table4 | fib.Table6](f *testing.F, k *kind[A, T]) {
	f.Add([]byte{11, 0xf0, 1, 0, 0, 4, 0, 0x74, 4, 1, 15, 13, 1, 5, 9, 15})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) > 1000 {
			return
		}
		newPair(t, k, bytes).run()
	})
}

func FuzzChanges4(f *testing.F) { fuzzChanges(f, ip4) }
func FuzzChanges6(f *testing.F) { fuzzChanges(f, ip6) }
