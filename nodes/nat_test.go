package nodes_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// A natFamily is a family with what translates.
type natFamily struct {
	*family
	translate, service, masquerade graph.Spec
	ends                           *strings.Replacer // {v}: a service's address, {h}: the host's, as in address and port
	l4                             int               // where the transport header of a fragment is
}

func eachNAT(t *testing.T, test func(t *testing.T, f *natFamily)) {
	t.Helper()
	all := []*natFamily{
		{&families[0], nodes.IP4Translate, nodes.IP4Service, nodes.IP4Masquerade,
			strings.NewReplacer("{v}", "10.96.0.10", "{any}", "0.0.0.0", "{a}", "10.1.0.7", "{b}", "10.1.0.8", "{h}", "192.0.2.10", "{far}", "10.2.0.9", "{e}", "198.51.100.9",
				"{pool}", "10.1.0.0/16", "{x/}", "8.8.8.0/24"), 20},
		{&families[1], nodes.IP6Translate, nodes.IP6Service, nodes.IP6Masquerade,
			strings.NewReplacer("{v}", "[fd00:96::10]", "{any}", "[::]", "{a}", "[fd00:1::7]", "{b}", "[fd00:1::8]", "{h}", "[2001:db8::10]", "{far}", "[fd00:2::9]", "{e}", "[2001:db8:51::9]",
				"{pool}", "fd00:1::/64", "{x/}", "2001:db8:99::/64"), 48},
	}
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) { test(t, f) })
	}
}

// text puts the family's addresses into lines; $v is the service's address.
func (f *natFamily) text(s string) string {
	bare := strings.NewReplacer("[", "", "]", "").Replace(f.ends.Replace("{v} {far} {e}"))
	words := strings.Fields(bare)
	s = strings.NewReplacer("$v", words[0], "$far", words[1], "$e", words[2]).Replace(s)
	return f.addrs.Replace(f.ends.Replace(s))
}

func (f *natFamily) world(t testing.TB, lines string) *world {
	t.Helper()
	return newWorld(t, aNode+aNode6+f.text(lines))
}

func (f *natFamily) rows(rows []row) []row {
	for i := range rows {
		rows[i].packet, rows[i].reason, rows[i].out = f.text(rows[i].packet), f.text(rows[i].reason), f.text(rows[i].out)
	}
	return rows
}

// sctp makes the payload of the first fragment of SCTP that of these ports.
func (f *natFamily) sctp(sport, dport uint16) func(p []byte) {
	return func(p []byte) {
		binary.BigEndian.PutUint16(p[f.l4:], sport)
		binary.BigEndian.PutUint16(p[f.l4+2:], dport)
	}
}

func (f *natFamily) first() string {
	if f.name == "ip4" {
		return "proto 132 mf len 40"
	}
	return "frag 0 mf proto 132 len 40"
}

// leave has the draft of a packet leave as another packet, with flags.
func (f *natFamily) leave(t testing.TB, rig *graphtest.Rig, before func(b *buf.Buffer), as string, flags uint16) func(b *buf.Buffer) {
	p := f.family.line(t, f.text(as))
	var k4 session.Packet4
	var k6 session.Packet6
	session.Parse4(p, 0, &k4)
	session.Parse6(p, 0, &k6)
	return func(b *buf.Buffer) {
		before(b)
		if f.name == "ip4" {
			d := rig.Flows.Drafts4.At(b.Flow)
			d.Out, d.Flags = k4.Key, flags
			return
		}
		d := rig.Flows.Drafts6.At(b.Flow)
		d.Out, d.Flags = k6.Key, flags
	}
}

func ttl(f *natFamily, s string) string {
	return s + " ttl 64 len 16"
}

func TestTranslate(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		rig := on(t, f.translate, w.state)
		line := func(s string) []byte { return f.family.line(t, f.text(s)) }
		r := f.insert(t, rig.Flows.Table, line("$a > $v: udp 1000 > 53"), line("$b > $h: udp 5353 > 2000"))
		sctp := line("$a > $v: proto 132 len 40")
		binary.BigEndian.PutUint32(sctp[len(sctp)-40:], 7<<16|8)
		back := line("$b > $h: proto 132 len 40")
		binary.BigEndian.PutUint32(back[len(back)-40:], 9<<16|10)
		s := f.insert(t, rig.Flows.Table, sctp, back)
		of := func(r session.Ref) func(b *buf.Buffer) { return func(b *buf.Buffer) { b.Flow = uint32(r) } }
		draft := func(b *buf.Buffer) { b.Flow = f.drafts(rig.Flows, b, drafted{session: r}) }
		rows := []row{
			{packet: "$a > $v: udp 1000 > 53", meta: of(r), reason: "translated", out: ttl(f, "$h > $b: udp 2000 > 5353")},
			{packet: "$b > $h: udp 5353 > 2000", meta: of(r | session.Reverse), reason: "translated", out: ttl(f, "$v > $a: udp 53 > 1000")},
			{packet: "$a > $v: udp 1000 > 53", meta: draft, reason: "translated", out: ttl(f, "$h > $b: udp 2000 > 5353")},
			{packet: "$a > $v: " + f.first(), change: f.sctp(7, 8), meta: of(s), reason: "ipX checksum can't be made to fit a translation"},
			{packet: "$x > $l: icmpX time-exceeded [$h > $b: udp 2000 > 5353]", meta: of(r | session.Reverse), reason: "ipX icmp error for another than it quotes"},
		}
		if f.name == "ip4" {
			rows = append(rows, row{packet: "$b > $h: icmp redirect [$h > $b: udp 2000 > 5353]", meta: of(r | session.Reverse), reason: "ip4 icmp redirect of a translated flow"})
		}
		check(t, rig, f.sound, f.rows(rows))
		// What its sender is told is about the packet that it has sent.
		b := rig.Load(t, line("$b > $h: icmpX time-exceeded [$h > $b: udp 2000 > 5353]"))[0]
		f.sound(b)
		b.Flow = uint32(r | session.Reverse)
		x := rig.RunBufs(t, b)
		if want := line("$v > $a: icmpX time-exceeded [$a > $v: udp 1000 > 53]"); string(x[0].Bytes()) != string(want) {
			t.Errorf("an error left as\n% x, want\n% x", x[0].Bytes(), want)
		}
		rig.Put(x)
	})
}

const services = `
	nat own {h}
	nat service web ClusterIP tcp {v}:80 to {b}:8080
	nat service none ClusterIP tcp {v}:81
	nat service far NodePort tcp {any}:30080 external-local to {far}:80
	nat service lb LoadBalancer tcp {v}:82 source={x/} to {b}:80
	nat service s ClusterIP sctp {v}:5 to {b}:6
	nat static udp {h}:5000 {a}:53
`

func TestService(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, strings.NewReplacer("own [", "own ", "]\n", "\n").Replace(f.ends.Replace(services)))
		rig := on(t, f.service, w.state)
		by := func(rx uint32) func(b *buf.Buffer) { return f.draft(rig, w, rx, drafted{}) }
		rows := f.rows([]row{
			{packet: "$a > $x: udp 1 > 53", meta: by(pod1), reason: "no service"},
			{packet: "$a > $v: tcp 1 > 80 flags S", meta: by(pod1), reason: "backend chosen", out: "$a > $b: tcp 1 > 8080 flags S seq 0 ack 0 ttl 64 len 16"},
			{packet: "$x > $h: udp 1 > 5000", meta: by(eth0), reason: "mapped for good", out: ttl(f, "$x > $a: udp 1 > 53")},
			{packet: "$a > $v: tcp 1 > 81 flags S", meta: by(pod1), reason: "ipX service has no endpoints"},
			{packet: "$x > $h: tcp 1 > 30080 flags S", meta: by(eth0), reason: "ipX service has no endpoint on this node"},
			{packet: "$l > $v: tcp 1 > 82 flags S", meta: by(eth0), reason: "ipX client not in loadBalancerSourceRanges"},
			{packet: "$x > $v: tcp 1 > 82 flags S", meta: by(eth0), reason: "backend chosen", out: "$x > $b: tcp 1 > 80 flags S seq 0 ack 0 ttl 64 len 16"},
			{packet: "$a > $v: " + f.first(), change: f.sctp(7, 5), meta: by(pod1), reason: "ipX checksum can't be made to fit a backend"},
		})
		check(t, rig, nil, rows)
		b := rig.Load(t, f.family.line(t, f.text("$a > $v: tcp 1 > 81 flags S")))[0]
		by(pod1)(b)
		x := rig.RunBufs(t, b)
		if x[0].Flags&buf.Judge != 0 || x[0].Flow != 0 {
			t.Error("an answer of ours is to be judged")
		}
		rig.Put(x)
		w.state.NAT = nil
		check(t, on(t, f.service, w.state), nil, f.rows([]row{{packet: "$a > $v: tcp 1 > 80 flags S", meta: by(pod1), reason: "no service"}}))
	})
}

func TestMasquerade(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat pool {pool}\nnat static $e $b")
		rig := on(t, f.masquerade, w.state)
		by := func(rx uint32) func(b *buf.Buffer) { return f.draft(rig, w, rx, drafted{}) }
		line := func(s string) []byte { return f.family.line(t, f.text(s)) }
		insert := func() session.Ref {
			return f.insert(t, rig.Flows.Table, line("$a > $x: udp 7 > 53"), line("$x > $a: udp 53 > 7"))
		}
		old := insert()
		kept := f.leave(t, rig, by(pod2), "$b > $a: udp 1 > 53", nodes.FlagRemember)
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: udp 1 > 53", meta: by(pod1), reason: "remember"},
			{packet: "$a > $x: icmpX echo-request id 1 seq 1", meta: by(pod1), reason: "remember"},
			{packet: "$b > $x: udp 1 > 53", meta: by(pod2), reason: "remember"},
			{packet: "$b > $a: udp 1 > 53", meta: kept, reason: "remember"},
			{packet: "$b > $a: udp 1 > 53", meta: by(pod2), reason: "not translated: forward"},
			{packet: "$x > $l: udp 1 > 53", meta: by(eth0), reason: "not translated: resolve"},
			{packet: "$x > $a: udp 1 > 53", meta: by(eth0), reason: "remember"}, // or its answers would be masqueraded
			{packet: "$h > $a: udp 1 > 53", meta: by(tap0), reason: "not translated: forward"},
			{packet: "$a > $n: udp 1 > 53", meta: by(pod1), reason: "not translated: local"},
			{packet: "$a > $h: udp 1 > 53", meta: by(pod1), reason: "not translated: punt"},
			{packet: "$a > $x: icmpX time-exceeded", meta: by(pod1), reason: "ipX packet of no flow to masquerade"},
		}))
		// The pool had no natOutgoing when this one began.
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: udp 7 > 53", meta: f.draft(rig, w, pod1, drafted{session: old}), reason: "ipX source translation has changed"},
		}))
		if n := rig.Flows.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		bare := w.state
		bare.Ifaces = append(bare.Ifaces[:0:0], bare.Ifaces...)
		for i := range bare.Ifaces {
			bare.Ifaces[i].Addr4, bare.Ifaces[i].Addr6 = 0, hdr.Addr6{}
		}
		bare.Addr4, bare.Addr6 = 0, hdr.Addr6{}
		rig = on(t, f.masquerade, bare)
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: udp 1 > 53", meta: f.draft(rig, w, pod1, drafted{}), reason: "ipX no own address to masquerade with"},
		}))
	})
}

func TestOpenTranslated(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		rig := on(t, f.open, w.state)
		by := func(rx uint32) func(b *buf.Buffer) {
			draft := f.draft(rig, w, rx, drafted{})
			return func(b *buf.Buffer) { draft(b); f.source(rig, b) }
		}
		// Its port is not one of nat.DefaultPorts, and it is the first fragment of SCTP.
		asNode := by(pod1)
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: " + f.first(), change: f.sctp(40000, 5), meta: asNode, reason: "ipX checksum can't be made to fit a new source"},
			{packet: "$a > $x: udp 2000 > 53", meta: asNode, reason: "forward", out: ttl(f, "$h > $x: udp 2000 > 53")},
		}))
		// Protocols without ports have but one flow to each destination.
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: proto 47 len 16", meta: by(pod1), reason: "forward", out: "$h > $x: proto 47 ttl 64 len 16"},
			{packet: "$b > $x: proto 47 len 16", meta: by(pod2), reason: "ipX no port left for source translation"},
		}))
		// What is in use is what the table has: a session that goes, for whatever
		// reason, leaves its port to others.
		for i := rig.Flows.Table.Next(0); i != 0; i = rig.Flows.Table.Next(i) {
			rig.Flows.Table.Delete(i)
		}
		check(t, rig, nil, f.rows([]row{
			{packet: "$b > $x: proto 47 len 16", meta: by(pod2), reason: "forward", out: "$h > $x: proto 47 ttl 64 len 16"},
		}))
	})
}

// source has the draft of a packet leave with the host's address.
func (f *natFamily) source(rig *graphtest.Rig, b *buf.Buffer) {
	if f.name == "ip4" {
		d := rig.Flows.Drafts4.At(b.Flow)
		k := d.Key
		d.Out = session.MakeKey4(hdr.Addr4(0xc000020a), k.Dst(), k.SrcPort(), k.DstPort(), k.Proto(), 0)
		d.Flags, d.Part = nodes.FlagMasqueraded, session.Whole
		return
	}
	d := rig.Flows.Drafts6.At(b.Flow)
	k := d.Key
	d.Out = session.MakeKey6(addr6("2001:db8::10"), k.Dst(), k.SrcPort(), k.DstPort(), k.Proto(), 0)
	d.Flags, d.Part = nodes.FlagMasqueraded, session.Whole
}

// With NAT, what is new visits the nodes that translate.
func TestNATVisits(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		rig := on(t, f.session, w.state)
		line := func(s string) []byte { return f.family.line(t, f.text(s)) }
		r := f.insert(t, rig.Flows.Table, line("$a > $v: udp 1 > 53"), line("$b > $a: udp 53 > 1"))
		s := rig.Flows.At(r.Index())
		s.Gen, s.Verdict, s.Flags = w.state.Policy.Gen, session.Allow, nodes.FlagTranslated
		check(t, rig, f.sound, f.rows([]row{
			{packet: "$a > $x: udp 1 > 53", reason: "new"},
			{packet: "$a > $v: udp 1 > 53", reason: "translated"},
			{packet: "$b > $a: udp 53 > 1", reason: "translated"},
			{packet: "$b > $a: icmpX time-exceeded [$a > $b: udp 1 > 53]", reason: "translated"},
		}))
		rig = on(t, f.policy, w.state)
		check(t, rig, nil, f.rows([]row{{packet: "$a > $x: udp 1 > 53", meta: f.draft(rig, w, pod1, drafted{}), reason: "passes: source"}}))
	})
}
