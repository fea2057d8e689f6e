package nodes_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

var seeds = []string{
	"10.1.0.7 > 8.8.8.8: udp 4000 > 53 len 30",
	"10.1.0.7 > 10.1.0.8: tcp 1 > 2 flags PA seq 1 ack 2 len 3000",
	"10.1.0.7 > 10.1.0.1: icmp echo-request id 1 seq 1",
	"10.1.0.7 > 192.0.2.50: proto 17 mf len 1480",
	"10.1.0.7 > 192.0.2.50: icmp unreachable code 4",
	"fd00:1::7 > 2001:db8:99::2: tcp 1 > 2 len 2000",
	"fd00:1::7 > fd00:1::8: hbh dstopts frag 0 mf udp 1 > 2 len 700",
	"fd00:1::7 > fd00:1::1: icmp6 echo-request id 1 seq 1",
	"fd00:1::7 > 2001:db8::50: icmp6 time-exceeded",
	"fd00:1::7 > ff02::2: icmp6 router-solicit",
	"fe80::10 > fe80::1:1: icmp6 echo-request id 1 seq 1",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 2001:db8:99::2 > fd00:1::7: udp 53 > 4000",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 2001:db8:99::2 > 2001:db8::10: routing 4 tcp 53 > 4000",
	"02:00:00:00:00:01 > 33:33:ff:00:00:10: fe80::1 > ff02::1:ff00:10: icmp6 neighbor-solicit 2001:db8::10 lladdr 02:00:00:00:00:01",
	"02:00:00:00:00:10 > 33:33:ff:00:00:07: fe80::10 > ff02::1:ff00:7: icmp6 neighbor-solicit fd00:1::7 lladdr 02:00:00:00:00:10",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 2001:db8::50 > fe80::10: icmp6 neighbor-advert 2001:db8::50 flags SO lladdr 02:00:00:00:00:50",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 8.8.8.8 > 10.1.0.7: udp 53 > 4000",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 8.8.8.8 > 192.0.2.10: udp 53 > 4000",
	"02:00:00:00:00:10 > 02:fe:00:00:00:01: 192.0.2.10 > 10.1.0.8: udp 1 > 2 df len 1473",
	"02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.10 tell 192.0.2.1",
	"02:00:00:00:00:10 > ff:ff:ff:ff:ff:ff: arp who-has 10.1.0.7 tell 192.0.2.10",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 192.0.2.20 > 192.0.2.10: proto 4 tos 3 [8.8.8.8 > 192.0.2.20: udp 1 > 30080 tos 1]",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 192.0.2.1 > 192.0.2.10: icmp unreachable code 4 seq 1400 [192.0.2.10 > 192.0.2.20: proto 4 [8.8.8.8 > 192.0.2.10: udp 1 > 30080]]",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 8.8.8.8 > 192.0.2.10: udp 1 > 30080 len 1473",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 2001:db8::20 > 2001:db8::10: proto 41 tos 3 [2001:db8:99::2 > 2001:db8::20: udp 1 > 30080 tos 1]",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: 2001:db8::1 > 2001:db8::10: icmp6 too-big mtu 1400 [2001:db8::10 > 2001:db8::20: proto 41 [2001:db8:99::2 > 2001:db8::10: udp 1 > 30080]]",
	"02:00:00:00:00:01 > 02:00:00:00:00:10: arp 192.0.2.50 is-at 02:00:00:00:00:50 tell 192.0.2.10",
}

// set puts at most as many bytes into b as it has room for.
func set(pool *buf.Pool, p []byte) *buf.Buffer {
	var one [1]*buf.Buffer
	if len(p) > buf.SmallStride-buf.Headroom {
		pool.GetLarge(one[:])
	} else {
		pool.Get(one[:])
	}
	one[0].Set(p)
	return one[0]
}

// A contract makes b such as the nodes before a node would leave it, and
// reports false if they would have dropped it. What a device can say of a
// packet is left as it is.
type contract func(b *buf.Buffer, random uint64) bool

// mend makes the header of a packet sound, so that not all fuzzed packets end
// in ip4-input. What remains to be refused is refused by ip4-input's check.
func mend(b *buf.Buffer) bool {
	b.L3 = uint16(b.Off())
	if b.Len() < hdr.IPv4Len {
		return false
	}
	h := b.IPv4()
	h[0] = 0x40 | h[0]&15
	if h.HeaderLen() < hdr.IPv4Len || h.HeaderLen() > b.Len() {
		h[0] = 0x45
	}
	h.SetLen(min(b.Len(), 0xffff))
	seal(b.Bytes())
	if nodes.Check4(b) != 0 {
		return false
	}
	b.Hash = nodes.Hash4(b)
	return true
}

// mend6 is mend for IPv6.
func mend6(b *buf.Buffer) bool {
	b.L3 = uint16(b.Off())
	if b.Len() < hdr.IPv6Len {
		return false
	}
	h := b.IPv6()
	h[0] = 0x60 | h[0]&15
	h.SetPayloadLen(min(b.Len()-hdr.IPv6Len, 0xffff))
	return nodes.Check6(b)
}

func contracts(w *world) map[string]contract {
	ifaces := uint64(len(w.state.Ifaces))
	any := func(*buf.Buffer, uint64) bool { return true }
	ip4 := func(b *buf.Buffer, _ uint64) bool { return mend(b) }
	// As ip4-lookup leaves it, if it goes to a node for packets of that kind.
	adj := func(kinds ...uint8) contract {
		return func(b *buf.Buffer, r uint64) bool {
			if !mend(b) {
				return false
			}
			b.Adj = w.state.FIB4.Lookup(b.IPv4().Dst(), b.Hash)
			for _, k := range kinds {
				if uint8(w.state.FIB4.Adj(b.Adj).Kind) == k {
					return true
				}
			}
			b.Adj = uint32(r>>8) % 64 // some adjacency of the table, of such a kind
			for range 64 {
				b.Adj = (b.Adj + 1) % 64
				for _, k := range kinds {
					if uint8(w.state.FIB4.Adj(b.Adj).Kind) == k {
						return true
					}
				}
			}
			return false
		}
	}
	ip6 := func(b *buf.Buffer, _ uint64) bool { return mend6(b) }
	// As ip6-lookup leaves it.
	adj6 := func(kinds ...fib.Kind) contract {
		return func(b *buf.Buffer, r uint64) bool {
			if !mend6(b) {
				return false
			}
			b.Adj = nodes.Lookup6(w.state.FIB6, b.RxIf, b.IPv6().Dst(), b.Hash)
			for i := range uint32(64) { // if it is of no such kind, some other adjacency of the table
				if slices.Contains(kinds, w.state.FIB6.Adj(b.Adj).Kind) {
					return true
				}
				b.Adj = (uint32(r>>8) + i) % 64
			}
			return false
		}
	}
	// Longer than the next link takes, and not to be segmented.
	long := func(c contract) contract {
		return func(b *buf.Buffer, r uint64) bool {
			b.SetSpan(b.Off(), min(b.End()+1200+int(r>>50&0xff), b.Cap()))
			b.GSOType = buf.GSONone
			return c(b, r) && b.Len() > int(w.state.FIB4.Adj(b.Adj).MTU)
		}
	}
	// As ip4-session leaves it, with a draft that nobody has filled in.
	draft := func(c contract) contract {
		return func(b *buf.Buffer, r uint64) bool {
			b.Flow, b.Flags = 1<<31|uint32(r>>13), b.Flags|buf.Judge
			return c(b, r)
		}
	}
	out := func(b *buf.Buffer, r uint64) bool { b.TxIf = uint32(r % ifaces); return true }
	return map[string]contract{
		"deny-list": any, "rate-limit-in": any,
		"ip4-encap": draft(ip4), "ip6-encap": draft(ip6), "ip4-decap": ip4, "ip6-decap": ip6,
		"ip4-acl": ip4, "ip4-handoff": ip4, "ip4-session": ip4, "ip6-acl": ip6, "ip6-handoff": ip6, "ip6-session": ip6,
		"ip4-translate": draft(ip4), "ip4-service": draft(ip4), "ip6-translate": draft(ip6), "ip6-service": draft(ip6),
		"ip4-masquerade": draft(adj(1, 2, 3, 4, 5)),
		"ip6-masquerade": draft(adj6(fib.Forward, fib.Resolve, fib.Glean, fib.Local, fib.Punt)),
		"ip4-policy":     draft(adj(1, 2, 3, 4, 5)), "ip4-open": draft(adj(1, 2, 3, 4, 5)),
		"ip6-policy":       draft(adj6(fib.Forward, fib.Resolve, fib.Glean, fib.Local, fib.Punt)),
		"ip6-open":         draft(adj6(fib.Forward, fib.Resolve, fib.Glean, fib.Local, fib.Punt)),
		"ip4-acl-output":   func(b *buf.Buffer, r uint64) bool { return out(b, r) && mend(b) },
		"ip6-acl-output":   func(b *buf.Buffer, r uint64) bool { return out(b, r) && mend6(b) },
		"device-input-end": any, "ethernet-input": any, "tun-input": any, "ip4-input": func(b *buf.Buffer, _ uint64) bool {
			b.L3 = uint16(b.Off())
			return true
		},
		"arp-input": func(b *buf.Buffer, _ uint64) bool {
			if b.Len() < hdr.EtherLen {
				return false
			}
			b.Advance(hdr.EtherLen)
			b.L3 = uint16(b.Off())
			return true
		},
		"nd-input": func(b *buf.Buffer, r uint64) bool {
			if b.Len() < hdr.EtherLen+hdr.IPv6Len+1 {
				return false
			}
			b.Advance(hdr.EtherLen)
			b.L3 = uint16(b.Off())
			b.Bytes()[6], b.Bytes()[hdr.IPv6Len] = hdr.ProtoICMPv6, 135+byte(r>>9&1)
			return true
		},
		"ip6-input": func(b *buf.Buffer, _ uint64) bool {
			b.L3 = uint16(b.Off())
			return true
		},
		"ip6-extensions": func(b *buf.Buffer, _ uint64) bool {
			b.L3 = uint16(b.Off())
			return b.Len() >= hdr.IPv6Len
		},
		"ip6-source-check": ip6, "ip6-lookup": ip6, "ip6-local": ip6, "icmp6-input": ip6,
		"icmp6-error": func(b *buf.Buffer, r uint64) bool { b.Meta = uint32(r >> 16); return mend6(b) },
		"ip6-rewrite": adj6(fib.Forward), "ip6-nd": adj6(fib.Resolve, fib.Glean), "ip6-punt": adj6(fib.Punt),
		"ip4-source-check": ip4, "ip4-lookup": ip4, "ip4-local": ip4, "icmp4-input": ip4,
		"icmp4-error": func(b *buf.Buffer, r uint64) bool { b.Meta = uint32(r >> 16); return mend(b) },
		"ip4-rewrite": adj(1), "ip4-fragment": long(adj(1)), "ip4-arp": adj(2, 3), "ip4-punt": adj(5),
		"interface-output": out, "interface-tx": out, "rate-limit-out": out, "gro": out,
		"uplink-output": out, "tap-output": out, "tun-output": out,
		"gso-segment": func(b *buf.Buffer, r uint64) bool {
			b.TxIf = uint32(r%(ifaces-1)) + 1
			return b.GSOType != buf.GSONone
		},
	}
}

// device says of b what a device might.
func device(b *buf.Buffer, r uint64) {
	types := []buf.GSOType{buf.GSONone, buf.GSONone, buf.GSONone, buf.GSOTCPv4, buf.GSOTCPv6, buf.GSOUDP, buf.GSOTCPv4 | buf.GSOECN, 3}
	b.GSOType = types[r&7]
	b.GSOSize = uint16(r >> 8)
	b.CsumStart = uint16(b.Off()) + uint16(r>>24&0x7f) - uint16(r>>31&1)*200
	b.CsumOffset = uint16(r >> 32 & 0xff)
	if r>>3&1 != 0 {
		b.Flags |= buf.CsumPartial
	}
	if r>>4&1 != 0 {
		b.Flags |= buf.CsumValid
	}
	if r>>5&7 == 7 {
		b.CsumStart, b.CsumOffset = uint16(r>>40), uint16(r>>48)
	}
}

// FuzzNode gives every node arbitrary packets, as far as the nodes before it
// would have let them pass. The rig sees to it that no buffer gets lost.
func FuzzNode(f *testing.F) {
	for i, s := range seeds {
		for node := range nodes.All() {
			f.Add(uint8(node), line(f, s), uint64(i*node)*0x9e3779b97f4a7c15)
		}
	}
	w := newWorld(f, aNode+aNode6+aPolicy+aTunnel)
	w.state.EchoID = 1
	w.state.Ifaces[pod1].RxLimit, w.state.Ifaces[pod1].TxLimit = iface.Bandwidth(1e6, 1e4), iface.PacketRate(10, 3)
	w.state.Deny, _ = state.NewDeny(prefixes("10.0.0.0/9", "fd00::/9"))
	all, how := nodes.All(), contracts(w)
	var rigs []*graphtest.Rig
	for _, spec := range all {
		rigs = append(rigs, graphtest.New(f, spec, w.state))
	}
	f.Fuzz(func(t *testing.T, n uint8, p []byte, r uint64) {
		i := int(n) % len(all)
		if how[all[i].Name] == nil {
			t.Fatalf("nothing is known of what holds on entry of %s", all[i].Name)
		}
		rig := rigs[i]
		rig.Now += int64(r >> 40)
		b := set(rig.Pool, p)
		b.RxIf = 1 + uint32(r>>5)%uint32(len(w.state.Ifaces)-1)
		device(b, r)
		if !how[all[i].Name](b, r) {
			rig.Pool.Put([]*buf.Buffer{b})
			return
		}
		rig.Put(rig.RunBufs(t, b))
		rig.Put(rig.Tick(t))
	})
}

// FuzzGraph gives the whole graph arbitrary frames on any interface, with
// anything that a device may say of them. Nothing may panic, and every buffer
// is somewhere.
func FuzzGraph(f *testing.F) {
	for i, s := range seeds {
		f.Add(uint8(i)|0x80, line(f, s), uint64(0), true)
		f.Add(uint8(i), line(f, s), uint64(0), true)
		f.Add(uint8(i), line(f, s), uint64(i)*0x9e3779b97f4a7c15, false)
	}
	free, ruled := newWhole(f, aNode+aNode6), newWhole(f, aNode+aNode6+aPolicy+aTunnel)
	for i := range free.queues[1:] {
		free.queues[i+1].quiet, ruled.queues[i+1].quiet = true, true
	}
	f.Fuzz(func(t *testing.T, i uint8, p []byte, r uint64, asIs bool) {
		w := free
		if i&0x80 != 0 {
			w = ruled
		}
		q := w.queues[1+int(i)%(len(w.queues)-1)]
		q.rx = append(q.rx, memPacket{len(p), func(b *buf.Buffer) { fuzzed(b, p, r, asIs, q.ethernet) }})
		w.advance(t, int64(r>>34))
		// Whatever it has left waiting goes on or fails.
		if r&0xff == 0 {
			w.advance(t, 4e9)
		}
	})
}

// fuzzed fills b as a device does. Unless it is to be taken as it is, the
// frame becomes one for us with a sound header.
func fuzzed(b *buf.Buffer, p []byte, r uint64, asIs, ethernet bool) {
	b.Set(p)
	device(b, r)
	if asIs {
		return
	}
	if ethernet && b.Len() > hdr.EtherLen {
		b.Ether().Fill([]hdr.MAC{{2, 0, 0, 0, 0, 0x10}, {2, 0xfe, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 0x11}}[r>>60%3], hdr.MAC{2, 0, 0, 0, 0, 1}, hdr.TypeIPv4)
		typ := b.Bytes()[12:14]
		b.Advance(hdr.EtherLen)
		if mendAny(b) == 6 {
			typ[0], typ[1] = 0x86, 0xdd
		}
		b.Advance(-hdr.EtherLen)
	} else if !ethernet {
		mendAny(b)
	}
	b.L3, b.L4, b.Hash, b.HdrEnd = 0, 0, 0, 0
}

// mendAny makes the packet sound as what it claims to be, and returns that.
func mendAny(b *buf.Buffer) (version int) {
	if b.Len() > 0 && b.Bytes()[0]>>4 == 6 {
		mend6(b)
		return 6
	}
	mend(b)
	return 4
}

// A million random packets, most of them nearly right, in vectors of all sizes
// on all interfaces.
func TestConservation(t *testing.T) { conserve(t, 1_000_000, aNode+aNode6) }

// The same with policy, which has fragments wait and remembers flows.
func TestConservationPolicy(t *testing.T) { conserve(t, 300_000, aNode+aNode6+aPolicy) }

// The same with tunnels.
func TestConservationTunnels(t *testing.T) { conserve(t, 300_000, aNode+aNode6+aTunnel) }

func conserve(t *testing.T, total int, text string) {
	rnd := rand.New(rand.NewPCG(11, 12))
	w := newWhole(t, text)
	for _, q := range w.queues[1:] {
		q.quiet = true
	}
	var lines [][]byte
	for _, s := range seeds {
		lines = append(lines, line(t, s))
	}
	if testing.Short() || raceEnabled {
		total = 50_000
	}
	for n := 0; n < total; {
		for i := range w.queues[1:] {
			q := w.queues[i+1]
			for range rnd.IntN(1 + rnd.IntN(60)) {
				q.rx = append(q.rx, spoiled(rnd, lines[rnd.IntN(len(lines))], q.ethernet))
				n++
			}
		}
		w.advance(t, rnd.Int64N(1e8))
	}
	for range 8 { // what fails is told to its sender, whose link address may have to be asked for too
		w.advance(t, 1e9)
	}
	if n := w.parked(); n != 0 {
		t.Errorf("%d packets parked at the end", n)
	}
	sent := 0
	for _, q := range w.queues[1:] {
		sent += q.count
	}
	if sent < total/10 {
		t.Errorf("only %d packets of %d were sent: this tests little", sent, total)
	}
}

// spoiled is a frame like p, with one byte changed, for somewhere in the test's
// world, and of which a device may say anything.
func spoiled(rnd *rand.Rand, p []byte, ethernet bool) memPacket {
	at, with, r, asIs := rnd.IntN(len(p)), byte(rnd.Uint32()), rnd.Uint64(), rnd.IntN(3) == 0
	if rnd.IntN(2) == 0 {
		r = 0
	}
	dst := rnd.Uint32()
	return memPacket{len(p), func(b *buf.Buffer) {
		b.Set(p)
		b.Bytes()[at] = with
		if !ethernet && b.Len() >= hdr.IPv6Len && p[0]>>4 == 6 && dst&3 != 0 {
			b.IPv6().SetDst([]hdr.Addr6{addr6("fd00:1::7"), addr6("fd00:1::8"), addr6("2001:db8::10"), addr6("2001:db8::5"),
				addr6("fd00:1::1"), addr6("2001:db8:ffff::1"), addr6("fd00:67::1")}[dst>>8%7])
		} else if !ethernet && b.Len() >= 20 && dst&3 != 0 {
			b.IPv4().SetDst([]hdr.Addr4{0x0a010007, 0x0a010008, 0xc000020a, 0xc0000200 + hdr.Addr4(dst>>24), 0x0a010001, 0x08080808, 0x0a430000}[dst>>8%7])
		}
		fuzzed(b, b.Bytes(), r, asIs, ethernet)
	}}
}
