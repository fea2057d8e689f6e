package kerneldiff

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// natRules are what Linux is told: three services, of which two have one backend,
// and one has its backend where pods leave for with the router's address.
const natRules = `
table inet nat {
	chain pre {
		type nat hook prerouting priority dstnat
		ip daddr { 10.96.0.10, 10.96.0.12 } meta l4proto { tcp, udp, sctp } th dport 80 dnat ip to 10.2.0.7:8080
		ip daddr 10.96.0.11 meta l4proto { tcp, udp, sctp } th dport 80 dnat ip to 10.2.1.7:8080
		ip6 daddr { 2001:db8:96::10, 2001:db8:96::12 } meta l4proto { tcp, udp, sctp } th dport 80 dnat ip6 to [2001:db8:b::7]:8080
		ip6 daddr 2001:db8:96::11 meta l4proto { tcp, udp, sctp } th dport 80 dnat ip6 to [2001:db8:b:1::7]:8080
	}
	chain post {
		type nat hook postrouting priority srcnat
		ip saddr 10.1.0.0/17 oifname "right" ip daddr != 10.2.0.0/24 masquerade
		ip6 saddr 2001:db8:a::/48 oifname "right" ip6 daddr != 2001:db8:b::/64 masquerade
	}
}
`

// natWorld is the same for Skein: pods are behind the left link.
func natWorld(t *testing.T) state.State {
	t.Helper()
	st := world(t)
	st.Ifaces[index(left)].Kind = iface.Tun
	services := new(nat.Services).Edit()
	for i, x := range [][2]string{{"10.96.0.10", "10.2.0.7"}, {"10.96.0.12", "10.2.0.7"}, {"10.96.0.11", "10.2.1.7"},
		{"2001:db8:96::10", "2001:db8:b::7"}, {"2001:db8:96::12", "2001:db8:b::7"}, {"2001:db8:96::11", "2001:db8:b:1::7"}} {
		svc, err := nat.NewService(nat.Spec{ID: uint32(i + 1), Name: x[0], All: []nat.Backend{{Addr: hdr.Addr6From(addr(x[1])), Port: 8080, Hits: new(uint64)}}})
		need(t, err)
		for _, proto := range []uint8{hdr.ProtoTCP, hdr.ProtoUDP, hdr.ProtoSCTP} {
			need(t, services.Set(&nat.Front{Key: nat.FrontKey{Addr: hdr.Addr6From(addr(x[0])), Port: 80, Proto: proto}, Kind: nat.ClusterIP, Service: svc}))
		}
	}
	outgoing, err := nat.NewOutgoing([]nat.Pool{{Prefix: netip.MustParsePrefix("10.1.0.0/17"), NatOutgoing: true}, {Prefix: netip.MustParsePrefix("2001:db8:a::/48"), NatOutgoing: true}},
		[]netip.Prefix{netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("2001:db8:b::/64")})
	need(t, err)
	st.NAT = &state.NAT{Services: services.Done(), Statics: new(nat.Statics), Outgoing: outgoing}
	nodes.SetPolicy(&st, &state.Policy{Gen: 1})
	return st
}

// A natDiff sends the packets of flows through both, and compares.
type natDiff struct {
	t     *testing.T
	r     *rand.Rand
	k     *kernel
	s     *skein
	n     int
	wrong int
	used  [2]map[string]*natFlow // whose an outside look is
	seen  map[string]int         // how often each thing was compared
}

// Linux' nftables and Skein translate the same packets to the same bytes: new
// flows, answers, ICMP errors about both, fragments, in random order. Flows that
// are in one another's way get ports of each side's own choice.
func TestTranslatesAsLinux(t *testing.T) {
	for name, v6 := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) {
			pin(t)
			r := rand.New(rand.NewPCG(*flagSeed, 5))
			d := &natDiff{t: t, r: r, k: newKernel(t), s: newSkeinOf(t, natWorld(t)), used: [2]map[string]*natFlow{{}, {}}, seen: map[string]int{}}
			rules := filepath.Join(t.TempDir(), "rules")
			lab.Need(t, os.WriteFile(rules, []byte(natRules), 0o644))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := d.k.router.Exec(ctx, "nft", "-f", rules)
			lab.Need(t, err)
			flows := natFlows(r, v6)
			for d.n = 0; d.n < 40_000 && d.wrong < *flagMost; d.n++ {
				d.step(flows[r.IntN(len(flows))])
			}
			t.Logf("%d flows, %v", len(flows), d.seen)
			for what, least := range map[string]int{"forward": 12000, "back": 12000, "errors about forward": 2000, "errors about back": 1600,
				"forward in fragments": 800, "back in fragments": 800, "other ports": 4000, "SCTP": 8000, "inbound": 4000} {
				if d.seen[what] < least {
					t.Errorf("%d times %s: this tests little", d.seen[what], what)
				}
			}
		})
	}
}

// step sends the next packet of a flow, or one about it.
func (d *natDiff) step(f *natFlow) {
	size := d.r.IntN(500)
	if f.step < f.handshake() {
		d.shake(f, size)
		return
	}
	d.note(f)
	switch n := d.r.IntN(16); {
	case n < 6:
		d.compare(f, "forward", f.at, f.forward(d.r, 9, size), nil)
	case n < 12:
		d.answer(f, 9, size)
	case n == 12:
		d.errors(f, size)
	case n == 13:
		d.errorsInside(f, size)
	case f.proto == hdr.ProtoUDP || f.icmp():
		d.fragments(f, n == 14)
	}
}

// shake sends what comes in order. The first packet shows what port each side
// has given the flow.
func (d *natDiff) shake(f *natFlow, size int) {
	step := f.step
	f.step++
	if step%2 == 1 {
		d.answer(f, step, size)
		return
	}
	d.compare(f, "forward", f.at, f.forward(d.r, step, size), nil)
}

// alike returns randomness that is the same each time.
func (d *natDiff) alike() func() *rand.Rand {
	state := d.r.Uint64()
	return func() *rand.Rand { return rand.New(rand.NewPCG(state, 1)) }
}

func (d *natDiff) answer(f *natFlow, step, size int) {
	r := d.alike()
	d.compare(f, "back", 1-f.at, f.back(r(), linux, step, size), f.back(r(), ours, step, size))
}

func (d *natDiff) note(f *natFlow) {
	if f.proto == hdr.ProtoSCTP {
		d.seen["SCTP"]++
	}
	if f.at == right {
		d.seen["inbound"]++
	}
	if f.ports[linux] != f.ports[ours] {
		d.seen["other ports"]++
	}
}

// errors sends an ICMP error of the other end, or of a router on the way there,
// about a packet as that has seen it: whole, or what RFC 792 asks for.
func (d *natDiff) errors(f *natFlow, size int) {
	from := f.to.addr
	if f.at == left && d.r.IntN(2) == 0 {
		from = map[bool]netip.Addr{true: addr("10.2.9.9"), false: addr("2001:db8:b:9::9")}[from.Is4()]
	}
	again, short := d.alike(), d.r.IntN(3) == 0
	about := func(side int) []byte {
		r := again()
		return icmpError(r, from, f.as, shortened(f.outside(r, side, size), short))
	}
	d.compare(f, "errors about forward", 1-f.at, about(linux), about(ours))
}

// errorsInside sends one of who has begun the flow about an answer.
func (d *natDiff) errorsInside(f *natFlow, size int) {
	if f.ports[linux] != f.ports[ours] {
		return // each side's quote has its own port
	}
	quote := shortened(f.inside(d.r, size), d.r.IntN(3) == 0)
	d.compare(f, "errors about back", f.at, icmpError(d.r, f.src.addr, f.dst.addr, quote), nil)
}

// shortened is a packet as it is quoted: all of it, or as little as has to be.
func shortened(p []byte, short bool) []byte {
	if at, _ := l4At(p); short {
		return p[:at+8]
	}
	return p
}

// fragments sends a packet in fragments. No identification comes twice within
// 65,536 packets, as none may while the packet before it could still be on its way
// (RFC 6864, section 4.1).
func (d *natDiff) fragments(f *natFlow, back bool) {
	size, again := 700+d.r.IntN(600), d.alike()
	what, at := "forward in fragments", f.at
	if back {
		what, at = "back in fragments", 1-f.at
	}
	outs := [2][]frame{}
	for side := range outs {
		p := f.forward(again(), 9, size)
		if back {
			p = f.back(again(), side, 9, size)
		}
		for _, part := range fragmented(again(), p, uint32(d.n)) {
			outs[side] = append(outs[side], d.send(side, onWire(at, part))...)
		}
		if side == ours {
			outs[side] = append(outs[side], d.idle()...)
		}
	}
	d.judge(f, what, what[0] == 'f', whole(outs[linux]), whole(outs[ours]))
}

// send has one side take a frame.
func (d *natDiff) send(side int, f frame) []frame {
	if side == ours {
		return d.s.routeAfter(d.t, f, 1e6)
	}
	out, err := d.k.route(f)
	if err != nil {
		d.t.Fatalf("packet %d: %v", d.n, err)
	}
	return out
}

// idle lets Skein go on with what it has kept.
func (d *natDiff) idle() []frame {
	d.s.sent = nil
	need(d.t, d.s.RoundAt(d.s.Now+1e6))
	return d.s.sent
}

// compare has both take a packet, or each its own, and compares what they send.
func (d *natDiff) compare(f *natFlow, what string, at int, p, own []byte) {
	forward := own == nil && what == "forward"
	if own == nil {
		own = p
	}
	d.judge(f, what, forward, d.send(linux, onWire(at, p)), d.send(ours, onWire(at, own)))
}

// judge compares, modulo the port that each side has chosen.
func (d *natDiff) judge(f *natFlow, what string, forward bool, kernel, skein []frame) {
	d.seen[what]++
	if forward && len(kernel) == 1 && len(skein) == 1 {
		if err := d.learn(f, kernel[0], skein[0]); err != nil {
			d.fail(f, what, fmt.Sprint(err), kernel, skein)
			return
		}
		if f.ports[linux] != f.ports[ours] {
			p := skein[0].bytes[hdr.EtherLen:]
			if !sound(p) {
				d.fail(f, what, "its checksum is wrong", kernel, skein)
			}
			skein = []frame{{skein[0].port, slices.Concat(skein[0].bytes[:hdr.EtherLen], ported(p, f.ports[linux]))}}
		}
	}
	if len(kernel) != 1 || !equal(kernel, skein) {
		d.fail(f, what, "not the same", kernel, skein)
	}
}

func (d *natDiff) fail(f *natFlow, what, why string, kernel, skein []frame) {
	d.wrong++
	d.t.Errorf("packet %d, %s of %v: %s\nkernel: %s\nskein:  %s", d.n, what, f, why, shows(kernel), shows(skein))
}

// learn notes which ports a flow has got, at its first packet, and looks whether
// they stay so and are no other flow's. Skein keeps a port that it can keep.
func (d *natDiff) learn(f *natFlow, kernel, skein frame) error {
	for side, out := range []frame{kernel, skein} {
		p := out.bytes[hdr.EtherLen:]
		port := binary.BigEndian.Uint16(sourcePort(p))
		look := func(port uint16) string { return fmt.Sprint(f.proto, f.as, port, f.to) }
		if f.ports[side] != 0 {
			if f.ports[side] != port {
				return fmt.Errorf("port %d has become %d", f.ports[side], port)
			}
			continue
		}
		if other := d.used[side][look(port)]; other != nil {
			return fmt.Errorf("port %d is that of %v as well", port, other)
		}
		if side == ours && port != f.src.port && d.used[side][look(f.src.port)] == nil {
			return fmt.Errorf("port %d is free, and not kept", f.src.port)
		}
		f.ports[side] = port
		d.used[side][look(port)] = f
	}
	return nil
}

// The packets of this test are what they are meant to be.
func TestNATPackets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, v6 := range []bool{false, true} {
		for _, f := range natFlows(r, v6)[:60] {
			p := f.forward(r, 9, 700)
			if !sound(p) || !sound(ported(p, 7)) || bytes.Equal(p, ported(p, 7)) {
				t.Fatalf("a packet of %v: % x", f, p)
			}
			var frames []frame
			for _, part := range fragmented(r, p, 7) {
				frames = append(frames, onWire(left, part))
			}
			if got := whole(frames); len(frames) < 2 || len(got) != 1 || !sound(got[0].bytes[hdr.EtherLen:]) {
				t.Fatalf("fragments of %v", f)
			}
		}
	}
}
