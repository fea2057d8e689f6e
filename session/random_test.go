package session_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// A pair runs the same on a table and on its twin.
type pair struct {
	t    testing.TB
	rng  *rand.Rand
	tab  *session.Table
	conf session.Config
	twin *twin
	path string
	now  uint32
	gone int
	seen [session.NumResults]int
	hits [session.NumClasses]int
}

func newPair(t testing.TB, rng *rand.Rand, capacity int, midstream bool, path string) *pair {
	p := &pair{t: t, rng: rng, path: path, now: 1_000_000, twin: &twin{
		sessions: map[uint32]*flow{}, byKey: map[any]session.Ref{}, quota: map[uint16]session.Quota{}, capacity: capacity,
		timeouts: session.DefaultTimeouts(),
	}}
	p.conf = session.Config{Capacity: capacity, Midstream: midstream, Gone: p.onGone}
	p.open()
	return p
}

func (p *pair) open() {
	var err error
	if p.path == "" {
		p.tab, err = session.New(p.conf)
	} else {
		p.tab, _, err = session.Open(p.path, p.conf, p.now)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) onGone(i uint32, s *session.Session, why session.Why) {
	f := p.twin.sessions[i]
	switch {
	case f == nil:
		p.t.Fatalf("session %d went, and was not there", i)
	case why == session.Expired && p.now-f.last < p.twin.timeouts[f.class()]:
		p.t.Fatalf("session %d expired after %d s, %v", i, p.now-f.last, f.class())
	case why == session.Evicted && !soft(f.class()):
		p.t.Fatalf("session %d evicted, %v", i, f.class())
	case p.tab.Counts(i) != session.Counts{Packets: f.packets, Bytes: f.bytes} || s.Class() != f.class():
		p.t.Fatalf("session %d went as %+v, want %+v", i, s, f)
	}
	p.gone++
	p.twin.remove(i)
}

// key is a key of few, so that they meet.
func (p *pair) key() any {
	v := func(n int) uint32 { return p.rng.Uint32N(uint32(n)) }
	proto := []uint8{hdr.ProtoTCP, hdr.ProtoTCP, hdr.ProtoTCP, hdr.ProtoUDP, hdr.ProtoICMP, 47}[v(6)]
	sport, dport, zone := uint16(v(6)), uint16(v(6)), uint16(v(2))
	if v(2) == 0 {
		return session.MakeKey4(hdr.Addr4(v(3)), hdr.Addr4(v(3)), sport, dport, proto, zone)
	}
	return session.MakeKey6(hdr.Addr6{Hi: uint64(v(2)), Lo: uint64(v(2))}, hdr.Addr6{Lo: uint64(v(3))}, sport, dport, proto, zone)
}

// known is a key of a session that there is, or any.
func (p *pair) known() any {
	i := p.tab.Next(p.rng.Uint32N(uint32(p.twin.capacity)))
	if i == 0 {
		return p.key()
	}
	return p.twin.sessions[i].keys[p.rng.IntN(2)]
}

func swapped(k any) any {
	switch k := k.(type) {
	case session.Key4:
		return k.Swap()
	case session.Key6:
		return k.Swap()
	}
	return nil
}

func parts(k any) (proto uint8, zone uint16) {
	switch k := k.(type) {
	case session.Key4:
		return k.Proto(), k.Zone()
	case session.Key6:
		return k.Proto(), k.Zone()
	}
	return 0, 0
}

func find(t *session.Table, k any) session.Ref {
	switch k := k.(type) {
	case session.Key4:
		return t.Find4(k, t.Hash4(k))
	case session.Key6:
		return t.Find6(&k, t.Hash6(&k))
	}
	return 0
}

func insert(t *session.Table, fwd, rev any, owner uint16, tcp uint8, now uint32) (session.Ref, session.Result) {
	switch k := fwd.(type) {
	case session.Key4:
		return t.Insert4(k, rev.(session.Key4), t.Hash4(k), owner, tcp, now)
	case session.Key6:
		r := rev.(session.Key6)
		return t.Insert6(&k, &r, t.Hash6(&k), owner, tcp, now)
	}
	return 0, 0
}

func (p *pair) flags(proto uint8) uint8 {
	if proto != hdr.ProtoTCP {
		return 0
	}
	common := []uint8{hdr.TCPSyn, hdr.TCPSyn, hdr.TCPSyn | hdr.TCPAck, hdr.TCPAck, hdr.TCPAck | hdr.TCPPsh, hdr.TCPAck | hdr.TCPFin, hdr.TCPRst, hdr.TCPRst | hdr.TCPAck}
	if p.rng.IntN(10) == 0 {
		return uint8(p.rng.Uint32())
	}
	return common[p.rng.IntN(len(common))]
}

// packet sends one packet through both.
func (p *pair) packet(k any) {
	proto, _ := parts(k)
	tcp := p.flags(proto)
	want := p.twin.byKey[k]
	got := find(p.tab, k)
	if got != want {
		p.t.Fatalf("%v: found %x, want %x", k, got, want)
	}
	if got == 0 {
		p.insert(k, proto, tcp)
		return
	}
	f, bytes := p.twin.sessions[want.Index()], p.rng.Uint32N(1<<uint(p.rng.IntN(32)))
	p.hits[f.class()]++
	event := p.tab.Seen(got, 1, bytes, tcp, p.now)
	if twins := f.packet(want.Dir(), bytes, tcp, p.now); event != twins {
		p.t.Fatalf("%v, flags %x, direction %d: event %d, want %d; %v", k, tcp, want.Dir(), event, twins, f.class())
	}
	if event == session.Stale {
		p.tab.Delete(got.Index())
		p.twin.remove(got.Index())
	}
}

func (p *pair) insert(fwd any, proto, tcp uint8) {
	rev := swapped(fwd)
	if p.rng.IntN(3) == 0 { // translated
		for {
			rev = p.key()
			rp, _ := parts(rev)
			if fp, _ := parts(fwd); rp == fp && fmt.Sprintf("%T", rev) == fmt.Sprintf("%T", fwd) {
				break
			}
		}
	}
	owner := uint16(p.rng.IntN(3))
	all, halfOpen, _ := p.twin.count(owner)
	full := p.twin.records() >= p.twin.capacity
	before := p.gone
	ref, res := insert(p.tab, fwd, rev, owner, tcp, p.now)
	p.seen[res]++
	p.judge(res, ref, rev, proto, tcp, owner, all, halfOpen, full, p.gone-before)
	if res != session.Inserted {
		return
	}
	f := &flow{keys: [2]any{fwd, rev}, proto: proto, owner: owner, last: p.now}
	_, is6 := fwd.(session.Key6)
	f.two = is6 && rev != swapped(fwd)
	f.side[0].heard = true
	if proto == hdr.ProtoTCP {
		only := tcp & (hdr.TCPSyn | hdr.TCPFin | hdr.TCPRst | hdr.TCPAck)
		f.picked = only != hdr.TCPSyn
		f.side[0].syn, f.side[0].ack = only == hdr.TCPSyn, f.picked
		f.side[0].fin = f.picked && tcp&hdr.TCPFin != 0
	}
	p.twin.sessions[ref.Index()] = f
	p.twin.byKey[rev] = ref | 1
	p.twin.byKey[fwd] = ref
	s := p.tab.At(ref.Index())
	if s.Gen != 0 || s.Verdict != session.Undecided || s.Flags != 0 || *p.tab.Data(ref) != 0 || *p.tab.Data(ref | 1) != 0 {
		p.t.Fatalf("a new session is decided: %+v", s)
	}
	s.Gen, s.Verdict, s.Flags = 7, session.Allow, 9
	*p.tab.Data(ref), *p.tab.Data(ref | 1) = 5, 6
}

// judge checks that a result is one that the rules allow.
func (p *pair) judge(res session.Result, ref session.Ref, rev any, proto, tcp uint8, owner uint16, all, halfOpen int, full bool, gone int) {
	conflict := p.twin.byKey[rev]
	open := tcp&(hdr.TCPSyn|hdr.TCPFin|hdr.TCPRst|hdr.TCPAck) == hdr.TCPSyn
	mid := p.conf.Midstream && tcp&hdr.TCPRst == 0 && tcp&hdr.TCPAck != 0 && tcp&(hdr.TCPSyn|hdr.TCPFin) != hdr.TCPSyn|hdr.TCPFin
	q := p.twin.quota[owner]
	_, halfNow, softNow := p.twin.count(owner)
	ok := false
	switch res {
	case session.Conflict:
		ok = conflict != 0 && ref == conflict
	case session.Midstream:
		ok = proto == hdr.ProtoTCP && !open && !mid
	case session.OverQuota:
		ok = q.Sessions != 0 && all >= int(q.Sessions) && (softNow == 0 || p.twin.capacity > 64)
	case session.OverHalf:
		ok = q.HalfOpen != 0 && halfOpen >= int(q.HalfOpen) && (halfNow == 0 || p.twin.capacity > 64)
	case session.Full:
		anySoft := 0
		for _, f := range p.twin.sessions {
			if soft(f.class()) {
				anySoft++
			}
		}
		ok = full || p.twin.records() >= p.twin.capacity-1 // an IPv6 one needs two
		ok = ok && anySoft == 0
	case session.Inserted:
		ok = ref.Dir() == session.Forward && (proto != hdr.ProtoTCP || open || mid) && p.twin.sessions[ref.Index()] == nil &&
			p.twin.byKey[rev] == 0 && (!full || gone > 0)
	}
	if !ok {
		p.t.Fatalf("%v: gone %d, full %t, owner has %d, %d half-open, quota %+v", res, gone, full, all, halfOpen, q)
	}
}

// same compares the two whole.
func (p *pair) same() {
	if err := p.tab.Check(); err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for i := p.tab.Next(0); i != 0; i = p.tab.Next(i) {
		n++
		s, f := p.tab.At(i), p.twin.sessions[i]
		if f == nil {
			p.t.Fatalf("session %d is not the twin's", i)
		}
		_, zone := parts(f.keys[0])
		if p.tab.Counts(i) != (session.Counts{Packets: f.packets, Bytes: f.bytes}) || s.Last != f.last || s.Class() != f.class() || s.Owner() != f.owner ||
			p.tab.Proto(i) != f.proto || p.tab.Zone(i) != zone {
			p.t.Fatalf("session %d: %+v, want %+v", i, s, f)
		}
		for dir := range uint32(2) {
			var is any
			if r := session.Ref(i<<1 | dir); s.IsIPv6() {
				is = p.tab.Key6(r)
			} else {
				is = p.tab.Key4(r)
			}
			if is != f.keys[dir] {
				p.t.Fatalf("session %d, direction %d: %v, want %v", i, dir, is, f.keys[dir])
			}
			p.leaves(session.Ref(i<<1|dir), f)
		}
	}
	if n != len(p.twin.sessions) {
		p.t.Fatalf("%d sessions, want %d", n, len(p.twin.sessions))
	}
}

func (p *pair) expireAll() {
	for range 1000 {
		p.tab.Expire(p.now, 1+p.rng.IntN(50))
	}
	for i, f := range p.twin.sessions {
		if idle := p.now - f.last; idle >= p.twin.timeouts[f.class()] {
			p.t.Fatalf("session %d is still there after %d s, %v", i, idle, f.class())
		}
	}
}

func (p *pair) reopen() {
	if p.path == "" {
		return
	}
	if err := p.tab.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.open()
	for o, q := range p.twin.quota {
		p.tab.SetQuota(o, q)
	}
	p.tab.SetTimeouts(p.twin.timeouts)
	for i := p.tab.Next(0); i != 0; i = p.tab.Next(i) {
		if s := p.tab.At(i); s.Gen != 0 || s.Verdict != session.Undecided || s.Flags != 9 {
			p.t.Fatalf("from the file: %+v", s)
		}
	}
	p.same()
}

// step does one random thing.
func (p *pair) step() {
	switch n := p.rng.IntN(1000); {
	case n < 300:
		p.packet(p.key())
	case n < 900:
		p.packet(p.known())
	case n < 950:
		p.now += p.rng.Uint32N(3)
		if p.rng.IntN(20) == 0 {
			p.now += p.rng.Uint32N(100)
		}
	case n < 970:
		p.tab.Expire(p.now, p.rng.IntN(8))
	case n < 975:
		p.expireAll()
	case n < 985:
		if r := p.twin.byKey[p.key()]; r != 0 {
			p.tab.Delete(r.Index())
			p.twin.remove(r.Index())
		}
	case n < 990:
		if r := p.twin.byKey[p.key()]; r != 0 {
			p.twin.sessions[r.Index()].owner = 1
			p.tab.SetOwner(r.Index(), 1)
		}
	case n < 993:
		o := uint16(p.rng.IntN(3))
		p.twin.quota[o] = session.Quota{Sessions: p.rng.Uint32N(40), HalfOpen: p.rng.Uint32N(20)}
		p.tab.SetQuota(o, p.twin.quota[o])
	case n < 995:
		p.twin.timeouts[1+p.rng.IntN(int(session.NumClasses)-1)] = 1 + p.rng.Uint32N(500)
		p.tab.SetTimeouts(p.twin.timeouts)
	case n < 997:
		p.reopen()
	default:
		p.same()
		if p.rng.IntN(20) == 0 {
			p.now += 10_000
		}
	}
}

// TestTwin: whatever happens, the table and the maps say the same.
func TestTwin(t *testing.T) {
	for _, test := range []struct {
		capacity  int
		midstream bool
		file      bool
	}{{1, false, false}, {2, true, true}, {20, false, true}, {60, true, false}, {300, false, true}, {2000, true, true}} {
		t.Run(fmt.Sprintf("capacity=%d", test.capacity), func(t *testing.T) {
			path := ""
			if test.file {
				path = filepath.Join(t.TempDir(), "sessions")
			}
			p := newPair(t, rand.New(rand.NewPCG(1, uint64(test.capacity))), test.capacity, test.midstream, path)
			for range 40_000 {
				p.step()
			}
			p.same()
			t.Logf("results %v, packets by class %v, %d gone by themselves", p.seen, p.hits, p.gone)
			if err := p.tab.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// FuzzTwin runs the table and its twin on a sequence that the fuzzer draws.
func FuzzTwin(f *testing.F) {
	f.Add(uint64(1), uint16(10), false)
	f.Add(uint64(2), uint16(100), true)
	f.Fuzz(func(t *testing.T, seed uint64, capacity uint16, midstream bool) {
		p := newPair(t, rand.New(rand.NewPCG(seed, 1)), int(capacity)%500+1, midstream, "")
		for range 2000 {
			p.step()
		}
		p.same()
		if err := p.tab.Close(); err != nil {
			t.Error(err)
		}
	})
}
