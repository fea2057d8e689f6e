package nodes_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// A tunnelFamily is a family with what its tunnels are made of: $p and $q are
// other nodes, {4} is the protocol of a packet in a packet.
type tunnelFamily struct {
	*natFamily
	encap, decap graph.Spec
	own          *strings.Replacer
	size         int // of the tunnel's header
}

func eachTunnel(t *testing.T, test func(t *testing.T, f *tunnelFamily)) {
	t.Helper()
	eachNAT(t, func(t *testing.T, n *natFamily) {
		f := &tunnelFamily{n, nodes.IP4Encap, nodes.IP4Decap,
			strings.NewReplacer("$p", "192.0.2.20", "$q", "192.0.2.30", "{4}", "proto 4", " df", " df", "unfit", "mf", "too-big mtu 1400", "unreachable code 4 seq 1400"), hdr.IPv4Len}
		if n.name == "ip6" {
			f.encap, f.decap, f.size = nodes.IP6Encap, nodes.IP6Decap, hdr.IPv6Len
			f.own = strings.NewReplacer("$p", "2001:db8::20", "$q", "2001:db8::30", "{4}", "proto 41", " df", "")
		}
		test(t, f)
	})
}

func (f *tunnelFamily) text(s string) string { return f.natFamily.text(f.own.Replace(s)) }

func (f *tunnelFamily) rows(rows []row) []row {
	for i := range rows {
		rows[i].packet, rows[i].reason, rows[i].out = f.text(rows[i].packet), f.text(rows[i].reason), f.text(rows[i].out)
		if p, err := pktline.Parse(rows[i].out); err == nil && rows[i].out[0] != 'h' {
			rows[i].out = pktline.Format(p, false) // with all that the row leaves out
		}
	}
	return rows
}

func (f *tunnelFamily) world(t testing.TB) *world {
	t.Helper()
	return newWorld(t, aNode+aNode6+aTunnel+"interface eth2 uplink mac 02:00:00:00:00:12 mtu 1300\n"+"2001:db8::30 dev eth2\n")
}

func (f *tunnelFamily) line(t testing.TB, s string) []byte {
	t.Helper()
	return f.family.line(t, f.text(s))
}

// open makes a session of a flow that goes to a node.
func (f *tunnelFamily) open(t testing.TB, rig *graphtest.Rig, packet, to string) session.Ref {
	t.Helper()
	p := f.line(t, packet)
	r := f.insert(t, rig.Flows.Table, p, f.line(t, to))
	s := rig.Flows.At(r.Index())
	s.Flags, s.Gen, s.Verdict = nodes.FlagTunnelled, rig.State.Policy.Gen, session.Allow
	return r
}

// unlabelled is a hash that makes no flow label.
const unlabelled = 1 << 20

func TestEncap(t *testing.T) {
	eachTunnel(t, func(t *testing.T, f *tunnelFamily) {
		w := f.world(t)
		rig := on(t, f.encap, w.state)
		r := f.open(t, rig, "$x > $h: udp 1 > 30080", "$p > $x: udp 30080 > 1")
		of := func(r session.Ref, more ...func(b *buf.Buffer)) func(b *buf.Buffer) {
			return func(b *buf.Buffer) {
				f.sound(b)
				b.RxIf, b.Flow, b.Hash = eth0, uint32(r), unlabelled
				for _, m := range more {
					m(b)
				}
			}
		}
		draft := f.leave(t, rig, f.draft(rig, w, eth0, drafted{}), "$x > "+f.text("$p")+": udp 3 > 30080", nodes.FlagTunnelled)
		narrow := f.leave(t, rig, f.draft(rig, w, eth0, drafted{}), f.text("$x > $q: udp 3 > 30080"), nodes.FlagTunnelled)
		again := f.draft(rig, w, eth0, drafted{session: r})
		plain := func(m func(b *buf.Buffer)) func(b *buf.Buffer) {
			return func(b *buf.Buffer) { m(b); b.Hash = unlabelled }
		}
		nonsense := func(b *buf.Buffer) { b.Flags |= buf.CsumPartial; b.CsumStart = 60000 }
		super := func(b *buf.Buffer) { b.GSOType, b.GSOSize = buf.GSOUDP, 0 }
		many := func(b *buf.Buffer) {
			b.Flags, b.CsumStart, b.CsumOffset = b.Flags|buf.CsumPartial, b.L4, 6
			b.GSOType, b.GSOSize, b.HdrEnd = buf.GSOUDP, 4, b.L4+8
		}
		rows := []row{
			{packet: "$x > $h: udp 1 > 30080 tos 1", meta: of(r), reason: "in a tunnel", out: "$h > $p: {4} tos 1 df [$x > $h: udp 1 > 30080 ttl 63 tos 1]"},
			{packet: "$x > $h: udp 3 > 30080", meta: plain(draft), reason: "in a tunnel", out: "$h > $p: {4} df [$x > $h: udp 3 > 30080 ttl 63]"},
			{packet: "$x > $h: udp 1 > 30080", meta: plain(again), reason: "in a tunnel", out: "$h > $p: {4} df [$x > $h: udp 1 > 30080 ttl 63]"},
			{packet: "$x > $h: udp 1 > 30080 ttl 1", meta: of(r), reason: "ipX last hop spent before a tunnel"},
			{packet: "$x > $h: udp 1 > 30080 df len 1473", meta: of(r), reason: "ipX too big for a tunnel"},
			{packet: "$x > $h: udp 1 > 30080", meta: of(r, nonsense), reason: "ipX checksum offload does not fit a tunnel's packet"},
			{packet: "$x > $h: udp 1 > 30080", meta: of(r, super), reason: "ipX checksum offload does not fit a tunnel's packet"},
			{packet: "$x > $h: udp 1 > 30080 len 1400", meta: of(r, many), reason: "ipX can't be cut to fit a tunnel"},
		}
		if f.name == "ip4" {
			rows = append(rows, row{packet: "$x > $h: proto 17 offset 65512 len 1480", meta: of(r), reason: "ip4 can't be cut to fit a tunnel"})
		} else {
			rows = append(rows, row{packet: "$x > $h: udp 3 > 30080 len 1220", meta: narrow, reason: "ip6 can't be cut to fit a tunnel"})
		}
		check(t, rig, nil, f.rows(rows))
		// Flows that can't go on are forgotten.
		r = f.open(t, rig, "$x > $h: udp 7 > 30080", "$p > $x: udp 30080 > 7")
		far := f.open(t, rig, "$x > $h: udp 8 > 30080", "$q > $x: udp 30080 > 8")
		tunnelled := func(b *buf.Buffer) { b.Flags |= buf.Tunnelled }
		check(t, rig, nil, f.rows([]row{
			{packet: "$x > $h: udp 7 > 30080", meta: of(r, tunnelled), reason: "ipX came by a tunnel and would leave by one"},
			{packet: "$x > $h: udp 8 > 30080", meta: of(far), reason: "ipX node at the end of a tunnel is gone"},
		}))
		for _, port := range []int{7, 8} {
			b := rig.Load(t, f.line(t, fmt.Sprintf("$x > $h: udp %d > 30080", port)))[0]
			if f.find(rig.Flows, b) != 0 {
				t.Errorf("the flow from port %d is remembered", port)
			}
			rig.Pool.Put([]*buf.Buffer{b})
		}
		bare := w.state
		bare.Ifaces = append(bare.Ifaces[:0:0], bare.Ifaces...)
		for i := range bare.Ifaces {
			bare.Ifaces[i].Addr4, bare.Ifaces[i].Addr6 = 0, hdr.Addr6{}
		}
		bare.Addr4, bare.Addr6 = 0, hdr.Addr6{}
		rig = on(t, f.encap, bare)
		r = f.open(t, rig, "$x > $h: udp 1 > 30080", "$p > $x: udp 30080 > 1")
		check(t, rig, nil, f.rows([]row{{packet: "$x > $h: udp 1 > 30080", meta: of(r), reason: "ipX no own address to begin a tunnel at"}}))
	})
}

func TestDecap(t *testing.T) {
	eachTunnel(t, func(t *testing.T, f *tunnelFamily) {
		w := f.world(t)
		rig := on(t, f.decap, w.state)
		f.open(t, rig, "$x > $h: udp 1 > 30080", "$p > $x: udp 30080 > 1")
		in := func(b *buf.Buffer) { f.sound(b); b.RxIf, b.Feat = eth0, 1<<63 }
		again := func(b *buf.Buffer) { in(b); b.Flags |= buf.Tunnelled }
		next := "end of ipX-unicast"
		fragment := "{4} mf"
		if f.name == "ip6" {
			fragment = "frag 0 mf {4}"
		}
		check(t, rig, nil, f.rows([]row{
			{packet: "$p > $h: {4} df [$x > $p: udp 1 > 30080]", meta: in, reason: "out of a tunnel", out: "$x > $p: udp 1 > 30080"},
			{packet: "$p > $h: {4} tos 3 df [$x > $p: udp 1 > 30080 tos 0xb9]", meta: in, reason: "out of a tunnel", out: "$x > $p: udp 1 > 30080 tos 0xbb"},
			{packet: "$p > $h: {4} tos 3 df [$x > $p: udp 1 > 30080]", meta: in, reason: "ipX congestion in a tunnel, and the packet can't say so"},
			{packet: "$p > $h: {4} df [$x > $p: udp 1 > 30080]", meta: again, reason: "ipX tunnel in a tunnel"},
			{packet: "$p > $h: " + fragment + " [$x > $p: udp 1 > 30080]", meta: in, reason: "ipX fragment of a tunnel's packet"},
			{packet: "$p > $h: {4} df len 3", meta: in, reason: "out of a tunnel", out: "hex 303132"},
			{packet: "$q > $h: {4} df [$x > $p: udp 1 > 30080]", meta: in, reason: next},
			{packet: "$p > $a: {4} df [$x > $p: udp 1 > 30080]", meta: in, reason: next},
			{packet: "$x > $h: udp 1 > 2", meta: in, reason: next},
			{packet: "$r > $h: icmpX too-big mtu 1400 [$h > $p: {4} [$x > $h: udp 1 > 30080]]", meta: in,
				reason: "error about a tunnel's packet, for who has sent it", out: "$x > $h: udp 1 > 30080"},
			{packet: "$r > $h: icmpX time-exceeded [$h > $p: {4} [$x > $h: udp 1 > 30080]]", meta: in,
				reason: "error about a tunnel's packet, for who has sent it", out: "$x > $h: udp 1 > 30080"},
			// Of nobody's flow, about another's tunnel, damaged, too short, or none at all.
			{packet: "$r > $h: icmpX time-exceeded [$h > $p: {4} [$x > $h: udp 2 > 30080]]", meta: in, reason: next},
			{packet: "$r > $h: icmpX time-exceeded [$h > $q: {4} [$x > $h: udp 1 > 30080]]", meta: in, reason: next},
			{packet: "$r > $h: icmpX time-exceeded [$b > $p: {4} [$x > $h: udp 1 > 30080]]", meta: in, reason: next},
			{packet: "$r > $h: icmpX time-exceeded [$h > $p: {4} [$x > $h: udp 1 > 30080]]", change: func(p []byte) { p[len(p)-1]++ }, meta: in, reason: next},
			{packet: "$r > $h: icmpX time-exceeded [$h > $p: {4} len 8]", meta: in, reason: next},
			{packet: "$r > $h: icmpX echo-request id 1 seq 1 [$h > $p: {4} [$x > $h: udp 1 > 30080]]", meta: in, reason: next},
		}))
		// What comes out is known to have come by a tunnel, and a node whose peers
		// are gone has none.
		b := rig.Load(t, f.line(t, "$p > $h: {4} df [$x > $p: udp 1 > 30080]"))[0]
		in(b)
		b.Flags |= buf.CsumValid
		x := rig.RunBufs(t, b)
		if x[0].Flags&(buf.Tunnelled|buf.CsumValid) != buf.Tunnelled || int(x[0].L3) != x[0].Off() {
			t.Errorf("flags %b", x[0].Flags)
		}
		rig.Put(x)
		w.state.NAT.Peers = nil
		check(t, on(t, f.decap, w.state), nil, f.rows([]row{{packet: "$p > $h: {4} df [$x > $p: udp 1 > 30080]", meta: in, reason: next}}))
	})
}

// Which backends get what is for a service that answers directly.
func TestServiceDirect(t *testing.T) {
	eachTunnel(t, func(t *testing.T, f *tunnelFamily) {
		w := newWorld(t, aNode+aNode6+f.text(strings.NewReplacer("own {h}", "own $h").Replace(`
			nat own {h}
			nat peers $p
			nat service near NodePort udp {any}:1 dsr to {a}:80,local {far}:80@$p
			nat service far NodePort udp {any}:2 dsr to {far}:80@$p
			nat service lost NodePort udp {any}:3 dsr to {far}:80
			nat service shy NodePort udp {any}:4 to {a}:80,local
		`)))
		rig := on(t, f.service, w.state)
		by := func(rx uint32) func(b *buf.Buffer) { return f.draft(rig, w, rx, drafted{}) }
		draft := by(eth0)
		tunnelled := func(b *buf.Buffer) { draft(b); b.Flags |= buf.Tunnelled }
		check(t, rig, nil, f.rows([]row{
			{packet: "$x > $h: udp 9 > 2", meta: by(eth0), reason: "backend chosen, on another node"},
			{packet: "$x > $h: udp 9 > 3", meta: by(eth0), reason: "backend chosen", out: "$x > $far: udp 9 > 80"},
			{packet: "$a > $h: udp 9 > 2", meta: by(pod1), reason: "backend chosen", out: "$a > $far: udp 9 > 80"},
			{packet: "$x > $p: udp 9 > 1", meta: tunnelled, reason: "backend chosen", out: "$x > $a: udp 9 > 80"},
			{packet: "$x > $p: udp 9 > 2", meta: tunnelled, reason: "ipX service has no endpoint on this node"},
			{packet: "$x > $p: udp 9 > 4", meta: tunnelled, reason: "ipX came by a tunnel, for no service"},
			{packet: "$x > $p: udp 9 > 5", meta: tunnelled, reason: "ipX came by a tunnel, for no service"},
		}))
	})
}

// Two addresses of services that a client reaches from one port have sessions of
// their own, though both go to one node; ip4-session knows them again.
func TestOpenTunnels(t *testing.T) {
	eachTunnel(t, func(t *testing.T, f *tunnelFamily) {
		w := f.world(t)
		rig := on(t, f.natFamily.open, w.state)
		to := func(packet, as string) row {
			return row{packet: packet, meta: f.leave(t, rig, f.draft(rig, w, eth0, drafted{}), f.text(as), nodes.FlagTunnelled), reason: "punt"}
		}
		check(t, rig, nil, f.rows([]row{
			to("$x > $h: udp 1 > 30080", "$x > $p: udp 1 > 30080"),
			{packet: "$x > $a: udp 1 > 30080", meta: f.leave(t, rig, f.draft(rig, w, eth0, drafted{}), f.text("$x > $p: udp 1 > 30080"), nodes.FlagTunnelled), reason: "forward"},
		}))
		if n := rig.Flows.Stats().Sessions; n != 2 {
			t.Errorf("%d sessions", n)
		}
		for i := rig.Flows.Next(0); i != 0; i = rig.Flows.Next(i) {
			if s := rig.Flows.At(i); s.Flags != nodes.FlagTunnelled {
				t.Errorf("flags %b", s.Flags)
			}
		}
		other := on(t, f.session, w.state)
		f.openAs(t, other, "$x > $h: udp 1 > 30080")
		check(t, other, f.sound, f.rows([]row{{packet: "$x > $h: udp 1 > 30080", reason: "tunnelled"}}))
	})
}

func (f *tunnelFamily) openAs(t testing.TB, rig *graphtest.Rig, packet string) {
	f.open(t, rig, packet, "$p > $x: udp 30080 > 1")
}

// What RFC 6040, figure 4, has.
func TestOutOfTunnel(t *testing.T) {
	const drop = 9
	want := [4][4]uint8{ // inner, outer: the codepoints of RFC 3168, section 5, from 0 to 3
		{0, 0, 0, drop},
		{1, 1, 1, 3},
		{2, 1, 2, 3},
		{3, 3, 3, 3},
	}
	for inner := range want {
		for outer, w := range want[inner] {
			if got, ok := nodes.OutOfTunnel(0xb8|uint8(inner), 0x28|uint8(outer)); ok == (w == drop) || ok && got != w {
				t.Errorf("inner %d, outer %d: %d %v, want %d", inner, outer, got, ok, w)
			}
		}
	}
}

// Zones are those of no packet, and tries differ.
func TestTunnelZone(t *testing.T) {
	for service := range uint64(100_000) {
		if a, b := nodes.TunnelZone(service, 0), nodes.TunnelZone(service, 1); a == 0 || b == 0 || a == b && a != 1 {
			t.Fatalf("%d: %d, %d", service, a, b)
		}
	}
}

// Which timeout a flow has whose answers go another way.
func TestAnswered(t *testing.T) {
	eachTunnel(t, func(t *testing.T, f *tunnelFamily) {
		rig := graphtest.New(t, f.encap, f.world(t).state)
		is := func(r session.Ref, want session.Class) {
			t.Helper()
			if got := rig.Flows.At(r.Index()).Class(); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		}
		segment := func(r session.Ref, tcp uint8) {
			rig.Flows.Seen(r, 1, 40, tcp, rig.Second())
			nodes.Answered(rig.Worker, r, tcp)
		}
		tcp := f.open(t, rig, "$x > $h: tcp 1 > 30080 flags S", "$p > $x: tcp 30080 > 1")
		segment(tcp, hdr.TCPSyn)
		is(tcp, session.TCPHalfOpen)
		segment(tcp, hdr.TCPAck)
		is(tcp, session.TCPEstablished)
		segment(tcp, hdr.TCPAck|hdr.TCPPsh)
		is(tcp, session.TCPEstablished)
		segment(tcp, hdr.TCPFin|hdr.TCPAck)
		is(tcp, session.TCPClosing)
		udp := f.open(t, rig, "$x > $h: udp 1 > 30080", "$p > $x: udp 30080 > 1")
		is(udp, session.UDPUnreplied)
		segment(udp, 0)
		is(udp, session.UDPReplied)
		if c := rig.Flows.Counts(udp.Index()); c.Packets != [2]uint32{1, 0} {
			t.Errorf("counted %v", c.Packets)
		}
	})
}

// A device that takes segments together in their tunnel hands over one packet,
// which goes to the pod as it is but for the tunnel.
func TestSuperInTunnel(t *testing.T) {
	eachTunnel(t, func(t *testing.T, f *tunnelFamily) {
		w := newWhole(t, aNode+aNode6+aTunnel+"interface pod1 tun feature ip4-source-check offload all\n")
		in := w.world.index["eth0"]
		packet, err := receive("02:00:00:00:00:20 > 02:00:00:00:00:10: "+f.text("$p > $h: {4} df [$x > $p: tcp 1 > 30080 len 2000]"), true)
		if err != nil {
			t.Fatal(err)
		}
		load := packet.load
		packet.load = func(b *buf.Buffer) {
			load(b)
			at := hdr.EtherLen + 2*f.size
			b.GSOType, b.GSOSize = buf.GSOTCPv4, 1000
			if f.name == "ip6" {
				b.GSOType = buf.GSOTCPv6
			}
			b.Flags, b.CsumStart, b.CsumOffset = b.Flags|buf.CsumPartial, uint16(b.Off()+at), 16
			inner := b.Bytes()[hdr.EtherLen+f.size:]
			sum := uint16(0)
			if f.name == "ip4" {
				sum = (*hdr.IPv4)(inner).PseudoSum(len(inner) - f.size)
			} else {
				sum = (*hdr.IPv6)(inner).PseudoSum(hdr.ProtoTCP, len(inner)-f.size)
			}
			binary.BigEndian.PutUint16(b.Bytes()[at+16:], sum)
		}
		w.queues[in].rx = append(w.queues[in].rx, packet)
		// From a stranger it would be a superpacket of no protocol that has any.
		stranger := packet
		stranger.load = func(b *buf.Buffer) {
			packet.load(b)
			ip := b.Bytes()[hdr.EtherLen:]
			if f.name == "ip4" {
				(*hdr.IPv4)(ip).SetSrc(0xc0000263)
				seal(ip)
			} else {
				(*hdr.IPv6)(ip).SetSrc(addr6("2001:db8::99"))
			}
		}
		w.queues[in].rx = append(w.queues[in].rx, stranger)
		w.advance(t, 0)
		got := join(w.sent())
		want := f.text("pod1: $x > $a: tcp 1 > 80 flags A seq 0 ack 0 ttl 63 len 2000 {tcpV 1000}\n")
		if want = strings.ReplaceAll(want, "tcpV", "tcp"+f.name[2:]); got != want {
			t.Errorf("sent\n%swant\n%s", got, want)
		}
		if got, want := join(w.newDrops()), f.text("1 ipX-input: ipX offload does not fit the packet\n"); got != want {
			t.Errorf("drops\n%swant\n%s", got, want)
		}
	})
}
