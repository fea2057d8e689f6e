package nodes_test

import (
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// rows puts the family's addresses and words into rows.
func (f *family) rows(rows []row) []row {
	for i := range rows {
		rows[i].packet, rows[i].reason = f.addrs.Replace(rows[i].packet), f.addrs.Replace(rows[i].reason)
	}
	return rows
}

func (f *family) line(t testing.TB, s string) []byte { t.Helper(); return line(t, f.addrs.Replace(s)) }

// from has a packet come in by an interface.
func from(i uint32) func(b *buf.Buffer) { return func(b *buf.Buffer) { b.RxIf = i } }

// table returns a table of sessions for so many.
func table(t testing.TB, capacity int, midstream bool) *session.Table {
	t.Helper()
	tab, err := session.New(session.Config{Capacity: capacity, Midstream: midstream})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tab.Close(); err != nil {
			t.Error(err)
		}
	})
	return tab
}

// What ip4-session and ip6-session say of single packets.
func TestSession(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+"policy")
		rig := on(t, f.session, w.state)
		known := f.insert(t, rig.Flows.Table, f.line(t, "$a > $x: udp 1 > 53"), f.line(t, "$x > $a: udp 53 > 1"))
		s := rig.Flows.At(known.Index())
		s.Gen, s.Verdict = w.state.Policy.Gen, session.Allow
		stale := f.insert(t, rig.Flows.Table, f.line(t, "$a > $x: udp 2 > 53"), f.line(t, "$x > $a: udp 53 > 2"))
		next := "end of ipX-unicast"
		rows := f.rows([]row{
			{packet: "$a > $x: udp 1 > 53 len 10", reason: "forward"},
			{packet: "$x > $a: udp 53 > 1 len 10", reason: "forward"},
			{packet: "$a > $x: udp 2 > 53", reason: next},
			{packet: "$a > $x: udp 3 > 53", reason: next},
			{packet: "$a > $x: icmpX echo-request id 1 seq 1", reason: next},
			{packet: "$a > $x: udp 1 > 53 len 10", change: cutShort(f, 4), reason: "ipX transport header is short or contradictory"},
		})
		var bufs []*buf.Buffer
		for i := range rows {
			bufs = append(bufs, rig.Load(t, rows[i].bytes(t))...)
			f.sound(bufs[i])
			bufs[i].Feat = 1 << 63
		}
		results := rig.RunBufs(t, bufs...)
		for i := range rows {
			rows[i].compare(t, rows[i].bytes(t), find(results, bufs[i]))
		}
		for i, want := range []struct {
			ref   session.Ref
			judge bool
		}{{known, false}, {known | session.Reverse, false}, {stale, true}, {0, true}, {0, true}} {
			b := bufs[i]
			if got := b.Flags&buf.Judge != 0; got != want.judge || session.IsDraft(b.Flow) != want.judge || !want.judge && b.Flow != uint32(want.ref) {
				t.Errorf("%s: flow %#x, to be judged: %v", rows[i].packet, b.Flow, got)
			}
		}
		if c := rig.Flows.Counts(known.Index()); c.Packets != [2]uint32{1, 1} {
			t.Errorf("the session has seen %v packets", c.Packets)
		}
		rig.Put(results)
		rig.NoAllocs(t, func(b *buf.Buffer) { f.sound(b); b.Feat = 1 << 63 },
			f.line(t, "$a > $x: udp 1 > 53"), f.line(t, "$a > $x: udp 3 > 53"), f.line(t, "$x > $a: icmpX time-exceeded"))
	})
}

// cutShort leaves so many bytes of the transport header.
func cutShort(f *family, n int) func(p []byte) {
	return func(p []byte) {
		if f.name == "ip6" {
			p[6] = hdr.ProtoTCP // of which 18 bytes are too few
			return
		}
		p[9] = hdr.ProtoTCP
		(*hdr.IPv4)(p).SetChecksum(0)
		(*hdr.IPv4)(p).SetChecksum(hdr.Checksum(p[:20]))
	}
}

// Fragments wait for their first one, but not for ever, and not too many.
func TestSessionFragments(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		rig := on(t, f.session, newWorld(t, aNode+aNode6+"policy").state)
		later := func(id int) []byte { return f.fragment(t, id, 1) }
		first := func(id int) []byte { return f.fragment(t, id, 0) }
		run := func(packets ...[]byte) map[string]int {
			bufs := rig.Load(t, packets...)
			for _, b := range bufs {
				f.sound(b)
				b.Feat = 1 << 63
			}
			return count(rig, rig.RunBufs(t, bufs...))
		}
		end := "end of " + f.name + "-unicast"
		leftBy(t, run(later(1)), nil)
		leftBy(t, run(later(2), first(1)), map[string]int{"first fragment has come": 1, end: 1})
		leftBy(t, run(later(1)), map[string]int{end: 1})
		rig.Advance(2e9)
		leftBy(t, count(rig, rig.Tick(t)), map[string]int{f.name + " first fragment has not come": 1})
		var many [][]byte
		for id := range 40 {
			many = append(many, later(100+id))
		}
		leftBy(t, run(many...), map[string]int{f.name + " too many fragments wait for their first": 8})
		rig.Advance(2e9)
		leftBy(t, count(rig, rig.Tick(t)), map[string]int{f.name + " first fragment has not come": 32})

		// Copies of a packet's fragments pass. Two seconds after it is complete its
		// identification may be another's.
		leftBy(t, run(first(7), later(7), later(7)), map[string]int{end: 3})
		rig.Advance(2e9)
		leftBy(t, run(later(7)), nil)
		leftBy(t, run(first(7)), map[string]int{"first fragment has come": 1, end: 1})
	})
}

// fragment makes the first fragment of a datagram, or the one behind it.
func (f *family) fragment(t testing.TB, id, n int) []byte {
	t.Helper()
	if f.name == "ip6" {
		p := f.line(t, []string{"$a > $x: frag 0 mf udp 5 > 53 len 40", "$a > $x: frag 48 udp 5 > 53 len 40"}[n])
		p[44], p[45], p[46], p[47] = 0, 0, byte(id>>8), byte(id)
		return p
	}
	p := f.line(t, "$a > $x: udp 5 > 53 len 40")
	h := (*hdr.IPv4)(p)
	h[4], h[5] = byte(id>>8), byte(id)
	h.SetFrag([]uint16{hdr.MoreFragments, 6}[n])
	h.SetChecksum(0)
	h.SetChecksum(hdr.Checksum(p[:20]))
	return p
}

func count(rig *graphtest.Rig, results []graphtest.Result) map[string]int {
	n := map[string]int{}
	for _, x := range results {
		n[x.Reason]++
	}
	rig.Put(results)
	return n
}

func leftBy(t *testing.T, got, want map[string]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("left by %v, want %v", got, want)
	}
}

// More new flows than drafts in one sweep: the rest is dropped, known flows pass.
func TestSessionFlood(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+"policy")
		rig := on(t, f.session, w.state)
		known := f.insert(t, rig.Flows.Table, f.line(t, "$b > $x: udp 1 > 53"), f.line(t, "$x > $b: udp 53 > 1"))
		s := rig.Flows.At(known.Index())
		s.Gen, s.Verdict = w.state.Policy.Gen, session.Allow
		var packets [][]byte
		for i := range session.DraftRoom + 10 {
			packets = append(packets, f.line(t, fmt.Sprintf("$a > $x: udp %d > 53", i+1)))
		}
		packets = append(packets, f.line(t, "$b > $x: udp 1 > 53"))
		bufs := rig.Load(t, packets...)
		for _, b := range bufs {
			f.sound(b)
			b.Feat = 1 << 63
		}
		leftBy(t, count(rig, rig.RunBufs(t, bufs...)),
			map[string]int{"end of " + f.name + "-unicast": session.DraftRoom, "forward": 1, f.name + " too many new flows at once": 10})
	})
}

// draft sets what the nodes before ip4-policy set.
func (f *family) draft(rig *graphtest.Rig, w *world, rx uint32, x drafted) func(b *buf.Buffer) {
	return func(b *buf.Buffer) {
		b.RxIf = rx
		f.sound(b)
		f.lookup(w, b)
		b.Flow, b.Flags = f.drafts(rig.Flows, b, x), b.Flags|buf.Judge
	}
}

func TestPolicy(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+`
			policy set web 10.1.0.7 fd00:1::7
			policy pod1 egress deny udp to ports 54
			policy pod1 egress allow udp
			policy pod1 egress allow tcp
			policy pod2 ingress deny udp to ports 55
			policy pod2 ingress allow udp from set web
			policy pod2 closed
			no policy pod2 closed
			policy eth1 closed
			policy eth0 pre-dnat deny udp to ports 1
			policy eth0 pre-dnat allow udp to ports 2
			policy eth0 ingress deny udp
			policy eth0 ingress allow
			policy eth0 egress deny udp to ports 9
			policy eth0 egress allow
			policy eth0 forward-egress deny udp to ports 10
			policy eth0 forward-egress allow
			policy eth0 forward-ingress deny udp from ports 11
			policy eth0 forward-ingress allow`)
		rig := on(t, f.policy, w.state)
		by := func(rx uint32) func(b *buf.Buffer) { return f.draft(rig, w, rx, drafted{}) }
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $b: udp 1 > 53", meta: by(pod1), reason: "allowed"},
			{packet: "$a > $x: udp 1 > 54", meta: by(pod1), reason: "ipX policy denies: egress rule"},
			{packet: "$a > $x: icmpX echo-request id 1 seq 1", meta: by(pod1), reason: "ipX no rule allows: egress (default deny)"},
			{packet: "$a > $b: udp 1 > 55", meta: by(pod1), reason: "ipX policy denies: ingress rule"},
			{packet: "$x > $b: udp 1 > 53", meta: by(eth0), reason: "ipX no rule allows: ingress (default deny)"},
			{packet: "$x > $b: udp 11 > 53", meta: by(eth0), reason: "ipX policy denies: ingress rule"},
			{packet: "$a > $x: udp 1 > 10", meta: by(pod1), reason: "ipX policy denies: egress rule"},
			{packet: "$b > $x: udp 1 > 10", meta: by(pod2), reason: "ipX policy denies: egress rule"},
			{packet: "$h > $x: udp 1 > 10", meta: by(tap0), reason: "allowed"},
			{packet: "$h > $x: udp 1 > 9", meta: by(tap0), reason: "ipX policy denies: egress rule"},
			{packet: "$x > $h: udp 1 > 1", meta: by(eth0), reason: "ipX policy denies: ingress rule"},
			{packet: "$x > $h: udp 1 > 2", meta: by(eth0), reason: "allowed"},
			{packet: "$x > $h: udp 1 > 3", meta: by(eth0), reason: "ipX policy denies: ingress rule"},
			{packet: "$x > $h: tcp 1 > 3", meta: by(eth0), reason: "allowed"},
			{packet: "$x > $n: tcp 1 > 3", meta: by(eth0), reason: "allowed"},
			{packet: "$x > $b: udp 1 > 53", meta: by(eth1), reason: "ipX policy not known yet"},
			// Of no endpoint, or of no flow.
			{packet: "$h > $n: udp 1 > 3", meta: by(tap0), reason: "passes: local"},
			{packet: "$b > $h: icmpX time-exceeded", meta: by(pod2), reason: "passes: punt"},
			{packet: "$b > $x: icmpX time-exceeded", meta: by(pod2), reason: "passes: forward"},
			{packet: "$b > $l: icmpX time-exceeded", meta: by(pod2), reason: "passes: resolve"},
		}))
	})
}

// A session that may not go on is kept as one that is denied, in whichever
// direction the packet went that asked: so its answers open no flow of their own.
func TestPolicyRefuses(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+"policy pod1 egress allow udp to ports 53\npolicy pod2 ingress")
		rig := on(t, f.policy, w.state)
		denied := f.insert(t, rig.Flows.Table, f.line(t, "$a > $x: udp 1 > 54"), f.line(t, "$x > $a: udp 54 > 1"))
		allowed := f.insert(t, rig.Flows.Table, f.line(t, "$a > $x: udp 1 > 53"), f.line(t, "$x > $a: udp 53 > 1"))
		check(t, rig, nil, f.rows([]row{
			{packet: "$x > $a: udp 53 > 1", meta: f.draft(rig, w, eth0, drafted{session: allowed | session.Reverse}), reason: "allowed"},
			{packet: "$x > $a: udp 54 > 1", meta: f.draft(rig, w, eth0, drafted{session: denied | session.Reverse}), reason: "ipX no rule allows: egress (default deny)"},
		}))
		if s := rig.Flows.At(denied.Index()); rig.Flows.Stats().Sessions != 2 || s.Verdict != session.Deny || s.Gen == w.state.Policy.Gen {
			t.Errorf("%d sessions are left, want 2; what is denied is %d", rig.Flows.Stats().Sessions, s.Verdict)
		}
	})
}

func TestOpen(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+"policy pod1 egress allow")
		sessions := table(t, 100, false)
		rig := graphtest.NewSessions(t, f.open, w.state, sessions)
		noteArcs(t, rig, f.open)
		f.insert(t, sessions, f.line(t, "$l > $x: udp 9 > 53"), f.line(t, "$x > $a: udp 53 > 9"))
		rig.Flows.SetQuota(pod2, session.Quota{Sessions: 1})
		by := func(rx uint32) func(b *buf.Buffer) { return f.draft(rig, w, rx, drafted{}) }
		established := f.insert(t, sessions, f.line(t, "$b > $x: tcp 1 > 2 flags S"), f.line(t, "$x > $b: tcp 2 > 1"))
		rig.Flows.SetOwner(established.Index(), pod2)
		establish(sessions, established)
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: udp 1 > 53", meta: by(pod1), reason: "forward"},
			{packet: "$a > $x: udp 1 > 53", meta: by(pod1), reason: "forward"}, // it is there by now
			{packet: "$a > $l: tcp 1 > 53 flags S", meta: by(pod1), reason: "resolve"},
			{packet: "$a > $n: udp 1 > 53", meta: by(pod1), reason: "local"},
			{packet: "$a > $h: udp 1 > 53", meta: by(pod1), reason: "punt"},
			{packet: "$a > $x: icmpX time-exceeded", meta: by(pod1), reason: "forward"}, // opens none
			{packet: "$a > $x: tcp 5 > 6 flags A", meta: by(pod1), reason: "ipX tcp of no session, and it opens none"},
			{packet: "$a > $x: udp 9 > 53", meta: by(pod1), reason: "ipX answer would be of another session"},
			{packet: "$b > $x: tcp 5 > 6 flags S", meta: by(pod2), reason: "ipX sender has too many sessions"},
		}))
	})
}

// establish makes a TCP session one that is not given up.
func establish(t *session.Table, r session.Ref) {
	now := session.Now()
	t.Seen(r|session.Reverse, 1, 40, hdr.TCPSyn|hdr.TCPAck, now)
	t.Seen(r, 1, 40, hdr.TCPAck, now)
}

// A sender that has too many half-open sessions is refused more, if its own can't
// be found soon enough to give one up.
func TestOpenHalf(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+"policy eth0 ingress")
		rig := on(t, f.open, w.state)
		for port := 1; port <= 101; port++ {
			r := f.insert(t, rig.Flows.Table, f.line(t, fmt.Sprintf("$b > $x: udp %d > 2", port)), f.line(t, fmt.Sprintf("$x > $b: udp 2 > %d", port)))
			if port == 101 {
				rig.Flows.SetOwner(r.Index(), eth0)
			}
		}
		rig.Flows.SetQuota(eth0, session.Quota{HalfOpen: 1})
		check(t, rig, nil, f.rows([]row{{packet: "$x > $a: udp 1 > 53", meta: f.draft(rig, w, eth0, drafted{}),
			reason: "ipX sender has too many half-open sessions"}}))
	})
}

// A full table refuses.
func TestOpenRefuses(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+"policy pod1 egress allow")
		sessions := table(t, 2, false)
		rig := graphtest.NewSessions(t, f.open, w.state, sessions)
		noteArcs(t, rig, f.open)
		for port := 1; port <= 2; port++ {
			r := f.insert(t, sessions, f.line(t, fmt.Sprintf("$b > $x: tcp %d > 2 flags S", port)), f.line(t, fmt.Sprintf("$x > $b: tcp 2 > %d", port)))
			establish(sessions, r)
		}
		check(t, rig, nil, f.rows([]row{{packet: "$a > $x: udp 1 > 53", meta: f.draft(rig, w, pod1, drafted{}), reason: "ipX session table is full"}}))
	})
}

// noteArcs has the arcs that a rig's node takes count as tested.
func noteArcs(t testing.TB, rig *graphtest.Rig, spec graph.Spec) {
	t.Cleanup(func() {
		reached.Lock()
		defer reached.Unlock()
		for _, a := range rig.Stats()[0].Arcs {
			if a.Count > 0 {
				reached.arcs[spec.Name+": "+a.Reason] = true
			}
		}
	})
}

func TestACL(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWorld(t, aNode+aNode6+aPolicy)
		next := "end of ipX-unicast"
		skip := func(rx uint32) func(b *buf.Buffer) {
			return func(b *buf.Buffer) { b.RxIf = rx; b.Feat = 1 << 63 }
		}
		track := func(rx uint32) func(b *buf.Buffer) {
			return func(b *buf.Buffer) { b.RxIf = rx; b.Feat = 1<<63 | 16 } // ipX-session
		}
		check(t, on(t, f.acl, w.state), f.sound, f.rows([]row{
			{packet: "$x > $h: udp 1 > 7", meta: skip(eth1), reason: "ipX access list denies"},
			{packet: "$x > $h: udp 1 > 8", meta: skip(eth1), reason: next},
			{packet: "$x > $h: udp 1 > 123", meta: track(eth0), reason: next},
			{packet: "$x > $h: udp 1 > 124", meta: track(eth0), reason: "feature ipX-session"},
			{packet: "$h > $x: udp 1 > 124", meta: track(tap0), reason: "ipX untracked policy denies"},
			{packet: "$h > $x: icmpX time-exceeded", meta: track(tap0), reason: "feature ipX-session"},
			{packet: "$a > $x: udp 1 > 7", meta: track(pod1), reason: "feature ipX-session"},
		}))
		to := func(tx uint32) func(b *buf.Buffer) {
			return func(b *buf.Buffer) { b.TxIf = tx; b.Feat = 1 << 63 }
		}
		check(t, on(t, f.aclOut, w.state), f.sound, f.rows([]row{
			{packet: "$x > $h: udp 1 > 7", meta: to(eth1), reason: "ipX outgoing access list denies"},
			{packet: "$x > $h: udp 1 > 8", meta: to(eth1), reason: "end of ipX-output"},
			{packet: "$x > $h: udp 1 > 7", meta: to(eth0), reason: "end of ipX-output"},
		}))
	})
}

// What is to be judged is only where it may get somewhere, and is not for ever:
// an error that answers it is Skein's own.
func TestLookupJudge(t *testing.T) {
	w := newWorld(t, aNode+aNode6)
	for _, spec := range []graph.Spec{nodes.IP4Lookup, nodes.IP6Lookup} {
		f := &families[0]
		if spec.Name == "ip6-lookup" {
			f = &families[1]
		}
		rig := on(t, spec, w.state)
		rows := f.rows([]row{
			{packet: "$a > $x: udp 1 > 2", reason: "to be judged"},
			{packet: "$x > $a: udp 1 > 2", reason: "to be judged"},
			{packet: "$a > $l: udp 1 > 2", reason: "to be judged"},
			{packet: "$a > $n: udp 1 > 2", reason: "to be judged"},
			{packet: "$a > $h: udp 1 > 2", reason: "to be judged"},
			{packet: "$a > $u: udp 1 > 2", reason: "ipX destination unreachable by route"},
		})
		check(t, rig, func(b *buf.Buffer) { f.sound(b); b.Flags |= buf.Judge }, rows)
		b := rig.Load(t, f.line(t, "$a > $u: udp 1 > 2"))[0]
		f.sound(b)
		b.Flags |= buf.Judge
		if x := rig.RunBufs(t, b); x[0].Flags&buf.Judge != 0 {
			t.Errorf("%s: still to be judged where nobody does", spec.Name)
		}
	}
	rig := on(t, nodes.IP6Lookup, w.state)
	check(t, rig, func(b *buf.Buffer) { sound6(b); b.RxIf = eth0; b.Flags |= buf.Judge }, []row{
		{packet: "fe80::1 > fe80::11: udp 1 > 2", meta: from(eth1), reason: "to be judged"},
	})
}
