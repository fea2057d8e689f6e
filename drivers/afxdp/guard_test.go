package afxdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"github.com/skein-dataplane/skein/hdr"
)

const testQueues = 4

// loaded is a program that is on no interface.
func loaded(t testing.TB) (*xdp.Program, *guard) {
	t.Helper()
	nstest.NeedRoot(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	p, g, err := newProgram(testQueues)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), g.close()); err != nil {
			t.Error(err)
		}
	})
	return p, g
}

// verdict runs the program in the kernel.
func verdict(t testing.TB, p *xdp.Program, frame []byte) uint32 {
	t.Helper()
	got, err := p.Program.Run(&ebpf.RunOptions{Data: frame})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func dropsOf(g *guard) (s drivers.Stats) {
	g.dropped(0, 1, &s)
	return s
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// ipFrame returns a frame from a source, with an IP header and nothing behind it.
func ipFrame(src netip.Addr) []byte {
	f := make([]byte, hdr.EtherLen, 64)
	if src.Is4() {
		binary.BigEndian.PutUint16(f[12:], hdr.TypeIPv4)
		f = append(append(f, 0x45), make([]byte, hdr.IPv4Len-1)...)
		copy(f[offSrc4:], src.AsSlice())
		return f
	}
	binary.BigEndian.PutUint16(f[12:], hdr.TypeIPv6)
	f = append(append(f, 0x60), make([]byte, hdr.IPv6Len-1)...)
	copy(f[offSrc6:], src.AsSlice())
	return f
}

func from(src string) []byte { return ipFrame(netip.MustParseAddr(src)) }

// typed returns a frame with another type.
func typed(typ uint16, f []byte) []byte {
	f = slices.Clone(f)
	binary.BigEndian.PutUint16(f[12:], typ)
	return f
}

// TestDenyProgram has the kernel judge frames of both families, sound and not.
func TestDenyProgram(t *testing.T) {
	p, g := loaded(t)
	list := prefixes("192.0.2.0/24", "198.51.100.7/32", "2001:db8:bad::/48", "2001:db8::7/128")
	if err := g.set(drivers.Guard{Deny: list}); err != nil {
		t.Fatal(err)
	}
	tagged := append(append(slices.Clone(from("192.0.2.1")[:12]), 0x81, 0, 0, 5), from("192.0.2.1")[12:]...)
	drops := uint64(0)
	for _, tc := range []struct {
		name  string
		frame []byte
		want  uint32
	}{
		{"4 in a prefix", from("192.0.2.255"), xdpDrop},
		{"4 beside it", from("192.0.3.0"), xdpPass},
		{"4 one address", from("198.51.100.7"), xdpDrop},
		{"4 the next", from("198.51.100.8"), xdpPass},
		{"6 in a prefix", from("2001:db8:bad:1::1"), xdpDrop},
		{"6 beside it", from("2001:db8:bae::1"), xdpPass},
		{"6 one address", from("2001:db8::7"), xdpDrop},
		{"6 the next", from("2001:db8::8"), xdpPass},
		{"4 cut off in the source", from("192.0.2.1")[:offSrc4+3], xdpPass},
		{"4 cut off behind the source", from("192.0.2.1")[:offSrc4+7], xdpPass},
		{"6 cut off in the source", from("2001:db8::7")[:offSrc6+15], xdpPass},
		{"6 cut off behind the source", from("2001:db8::7")[:offIP+hdr.IPv6Len-1], xdpPass},
		{"nothing behind the Ethernet header", from("192.0.2.1")[:hdr.EtherLen], xdpPass},
		{"another type", typed(hdr.TypeARP, from("192.0.2.1")), xdpPass},
		{"tagged", tagged, xdpPass},
		{"version 5", func() []byte { f := from("192.0.2.1"); f[offIP] = 0x55; return f }(), xdpPass},
		{"4 by the type of 6", typed(hdr.TypeIPv6, from("192.0.2.1")), xdpDrop},
	} {
		if got := verdict(t, p, tc.frame); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
		if tc.want == xdpDrop {
			drops++
		}
	}
	if s := dropsOf(g); s.RxDenied != drops || s.RxLimited != 0 {
		t.Errorf("%+v, want %d denied", s, drops)
	}
	// Everything is denied, and neighbour discovery goes on.
	if err := g.set(drivers.Guard{Deny: prefixes("0.0.0.0/0", "::/0")}); err != nil {
		t.Fatal(err)
	}
	for src, want := range map[string]uint32{"203.0.113.1": xdpDrop, "fec0::1": xdpDrop, "fe80::1": xdpPass, "febf::1": xdpPass} {
		if got := verdict(t, p, from(src)); got != want {
			t.Errorf("%s with everything denied: %d, want %d", src, got, want)
		}
	}
	if err := g.set(drivers.Guard{}); err != nil {
		t.Fatal(err)
	}
	for _, src := range []string{"192.0.2.1", "2001:db8::7"} {
		if got := verdict(t, p, from(src)); got != xdpPass {
			t.Errorf("%s after the list was emptied: %d", src, got)
		}
	}
}

// TestDenyReplaced compares lists that follow one another with a search from
// one end to the other.
func TestDenyReplaced(t *testing.T) {
	p, g := loaded(t)
	r := rand.New(rand.NewPCG(1, 2))
	random := func() netip.Addr { // few, so that prefixes meet
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), byte(r.IntN(3) * 127), byte(r.IntN(4))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 7: byte(r.IntN(3)), 8: byte(r.IntN(3) * 127), 15: byte(r.IntN(4))})
	}
	for round := range 20 {
		var list []netip.Prefix
		for range r.IntN(12) {
			a := random()
			list = append(list, netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked())
		}
		if err := g.set(drivers.Guard{Deny: list}); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			a, want := random(), uint32(xdpPass)
			if slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) }) {
				want = xdpDrop
			}
			if got := verdict(t, p, ipFrame(a)); got != want {
				t.Fatalf("round %d: %s with %v: %d, want %d", round, a, list, got, want)
			}
		}
	}
}

// deniedHere is what the program should say of a frame, searched from one end to
// the other.
func deniedHere(list []netip.Prefix, frame []byte) bool {
	ip := frame[min(offIP, len(frame)):]
	if typ := binary.BigEndian.Uint16(frame[offType:]); typ != hdr.TypeIPv4 && typ != hdr.TypeIPv6 || len(ip) == 0 {
		return false
	}
	var src netip.Addr
	switch {
	case ip[0]>>4 == 4 && len(ip) >= hdr.IPv4Len:
		src = netip.AddrFrom4([4]byte(ip[12:]))
	case ip[0]>>4 == 6 && len(ip) >= hdr.IPv6Len:
		src = netip.AddrFrom16([16]byte(ip[8:]))
	}
	if !src.IsValid() || src.Is6() && src.IsLinkLocalUnicast() {
		return false
	}
	// Prefix.Contains knows no IPv4 address that is written as IPv6.
	bits := src.AsSlice()
	return slices.ContainsFunc(list, func(p netip.Prefix) bool {
		return len(bits) == p.Addr().BitLen()/8 && sameBits(bits, p.Addr().AsSlice(), p.Bits())
	})
}

// sameBits reports whether the first n bits are the same.
func sameBits(a, b []byte, n int) bool {
	for i := range n {
		if (a[i/8]^b[i/8])>>(7-i%8)&1 != 0 {
			return false
		}
	}
	return true
}

// FuzzProgram has the kernel judge any bytes.
func FuzzProgram(f *testing.F) {
	for _, frame := range [][]byte{from("192.0.2.1"), from("2001:db8::7"), from("fe80::1"), from("169.254.0.1"), from("::ffff:192.0.2.1"),
		typed(hdr.TypeARP, from("192.0.2.1")), from("192.0.2.1")[:30], from("2001:db8::7")[:50]} {
		f.Add(frame)
	}
	list := prefixes("192.0.2.0/24", "128.0.0.0/1", "2001:db8::/32", "::/3")
	p, g := loaded(f)
	if err := g.set(drivers.Guard{Deny: list}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < hdr.EtherLen || len(frame) > MaxFrame { // no device hands over less, or more
			return
		}
		want := uint32(xdpPass)
		if deniedHere(list, frame) {
			want = xdpDrop
		}
		if got := verdict(t, p, frame); got != want {
			t.Errorf("% x: %d, want %d", frame, got, want)
		}
	})
}

// TestLimitProgram empties a bucket that takes an hour to fill.
func TestLimitProgram(t *testing.T) {
	p, g := loaded(t)
	limit := drivers.Guard{PerPacket: 1e15, Depth: 3600e9} // 1,000 s each: three fit, and the fourth owes
	frames := [][]byte{from("192.0.2.1"), from("2001:db8::1"), typed(hdr.TypeARP, from("192.0.2.1")), from("192.0.2.1")[:hdr.EtherLen]}
	for round := range 2 {
		if err := g.set(limit); err != nil {
			t.Fatal(err)
		}
		passed := 0
		for i := range 10 {
			if verdict(t, p, frames[i%len(frames)]) == xdpPass {
				passed++
			}
		}
		if passed != 4 {
			t.Errorf("round %d: %d passed, want 4", round, passed)
		}
		if err := g.set(limit); err != nil { // the same again is no refill
			t.Fatal(err)
		}
		if got := verdict(t, p, frames[0]); got != xdpDrop {
			t.Errorf("round %d: the same limit set again: %d", round, got)
		}
		if err := g.set(drivers.Guard{}); err != nil {
			t.Fatal(err)
		}
		if got := verdict(t, p, frames[0]); got != xdpPass {
			t.Errorf("round %d: without limit: %d", round, got)
		}
	}
	if s := dropsOf(g); s.RxLimited != 2*7 || s.RxDenied != 0 {
		t.Errorf("%+v", s)
	}
	// What is denied takes nothing.
	limit.Deny = prefixes("192.0.2.0/24")
	if err := g.set(limit); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		verdict(t, p, frames[0])
	}
	if got := verdict(t, p, frames[1]); got != xdpPass {
		t.Errorf("after a flood of what is denied: %d", got)
	}
}

// TestQueuesOfProgram sends by queues that are there, and by one that is not,
// as the library's own program has it.
func TestQueuesOfProgram(t *testing.T) {
	ns := nstest.New(t)
	ns.Run(t, "ip", "link", "add", "q0", "numrxqueues", "8", "numtxqueues", "8", "type", "veth", "peer", "name", "q1")
	ns.Up(t, "q0")
	ns.Up(t, "q1")
	p, g := loaded(t)
	if err := g.set(drivers.Guard{Deny: prefixes("192.0.2.0/24")}); err != nil {
		t.Fatal(err)
	}
	if err := p.Queues.Put(uint32(2), uint32(1)); err != nil { // without a socket
		t.Fatal(err)
	}
	ifindex := uint32(ns.Link(t, "q0").Attrs().Index)
	for _, tc := range []struct {
		queue     uint32
		src       string
		want      uint32
		countedAt int
	}{
		{1, "192.0.3.1", xdpPass, -1},
		{1, "192.0.2.1", xdpDrop, 1},
		{2, "192.0.3.1", xdpAborted, -1},
		{7, "192.0.3.1", xdpAborted, -1},
		{7, "192.0.2.1", xdpDrop, 0},
	} {
		var before, after [testQueues]drivers.Stats
		count := func(to *[testQueues]drivers.Stats) {
			for q := range to {
				g.dropped(q, testQueues, &to[q])
			}
		}
		count(&before)
		var got uint32
		ns.Do(t, func() (err error) {
			frame := from(tc.src)
			got, err = p.Program.Run(&ebpf.RunOptions{Data: frame, Context: [6]uint32{1: uint32(len(frame)), 3: ifindex, 4: tc.queue}})
			return err
		})
		count(&after)
		if got != tc.want {
			t.Errorf("queue %d from %s: %d, want %d", tc.queue, tc.src, got, tc.want)
		}
		for q := range after {
			want := uint64(0)
			if q == tc.countedAt {
				want = 1
			}
			if n := after[q].RxDenied - before[q].RxDenied; n != want {
				t.Errorf("queue %d from %s: %d counted at queue %d", tc.queue, tc.src, n, q)
			}
		}
	}
}

// TestGuardRefuses checks what is no list, and that a full kernel leaves the
// former one.
func TestGuardRefuses(t *testing.T) {
	p, g := loaded(t)
	if err := g.set(drivers.Guard{Deny: prefixes("192.0.2.0/24")}); err != nil {
		t.Fatal(err)
	}
	many := make([]netip.Prefix, drivers.MaxDeny+1)
	for i := range many {
		many[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for _, list := range [][]netip.Prefix{many, {{}}, prefixes("10.0.0.1/8"), prefixes("::ffff:10.0.0.0/104")} {
		if err := g.set(drivers.Guard{Deny: list}); err == nil {
			t.Errorf("taken: %v…", list[0])
		} else {
			t.Log(err)
		}
	}
	// Far more than there may be, so that the kernel has to say no.
	whole := g.deny4
	small, err := newMap("skein_small", ebpf.LPMTrie, 8, 1, 2, unix.BPF_F_NO_PREALLOC)
	if err != nil {
		t.Fatal(err)
	}
	g.deny4 = small
	if err := g.set(drivers.Guard{Deny: many[:3]}); err == nil {
		t.Error("a full list took more")
	} else {
		t.Log(err)
	}
	var key [8]byte
	if err := small.NextKey(nil, key[:]); !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Errorf("left behind: % x, %v", key, err)
	}
	g.deny4 = whole
	if err := small.Close(); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, p, from("192.0.2.1")); got != xdpDrop {
		t.Errorf("the former list is gone: %d", got)
	}
	if err := g.set(drivers.Guard{Deny: many[:drivers.MaxDeny]}); err != nil { // all that may be
		t.Fatal(err)
	}
	if got := verdict(t, p, from("10.0.255.255")); got != xdpDrop {
		t.Errorf("the last of a full list: %d", got)
	}
}

// TestGuardOnWire has a kernel send to a device that denies it, lets it pass,
// and denies it again, in both modes of attachment and both families.
func TestGuardOnWire(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 1)
		w.kernel.Sysctl(t, "net/ipv6/conf/k0/disable_ipv6", "0")
		w.kernel.Addr(t, "k0", "fd00::1/64")
		w.kernel.Neigh(t, "k0", "fd00::2", w.skein.Link(t, "s0").Attrs().HardwareAddr)
		denied := drivers.Guard{Deny: prefixes("10.0.0.1/32", "fd00::/64")}
		c.Guard = denied // from the first packet on
		w.open(t, c)
		drops := uint64(0)
		for _, x := range []struct {
			guard drivers.Guard
			pass  bool
		}{{denied, false}, {drivers.Guard{Deny: prefixes("10.0.0.2/32", "fd00:1::/64")}, true}, {denied, false}} {
			if err := w.dev.SetGuard(x.guard); err != nil {
				t.Fatal(err)
			}
			for _, from := range []struct{ at, to string }{{"10.0.0.1:9", "10.0.0.2:7"}, {"[fd00::1]:9", "[fd00::2]:7"}} {
				s := w.kernel.ListenUDP(t, from.at)
				if _, err := s.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from.to))); err != nil {
					t.Fatal(err)
				}
				got := w.udpFrames()
				if (got == 1) != x.pass {
					t.Errorf("%v from %s: %d received", x.guard.Deny, from.at, got)
				}
				if !x.pass {
					drops++
				}
				if n := w.q().Stats().RxDenied; n < drops { // the kernel's own chatter counts as well
					t.Errorf("%v from %s: %d denied, want %d", x.guard.Deny, from.at, n, drops)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// udpFrames takes in what is there, and counts what has the payload x.
func (w *wire) udpFrames() (n int) {
	var v [256]*buf.Buffer
	got := v[:w.q().Rx(w.pool, v[:])]
	for _, b := range got {
		if f := b.Bytes(); bytes.HasSuffix(f, []byte("x")) && len(f) > hdr.EtherLen+hdr.IPv4Len {
			n++
		}
	}
	w.pool.Put(got)
	return n
}

// BenchmarkProgram runs the program in the kernel, as the NIC's driver would.
// The verdict is XDP_PASS, as no socket waits; the library's own program is
// there to compare with.
func BenchmarkProgram(b *testing.B) {
	run := func(b *testing.B, p *ebpf.Program, frame []byte) {
		const repeat = 1_000_000
		for range b.N {
			_, per, err := p.Benchmark(frame, repeat, b.ResetTimer)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(per.Nanoseconds()), "ns/packet")
		}
	}
	b.Run("library", func(b *testing.B) {
		nstest.NeedRoot(b)
		p, err := xdp.NewProgram(testQueues)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		run(b, p.Program, from("192.0.2.1"))
	})
	for _, n := range []int{0, 1, 1000, drivers.MaxDeny / 2} {
		p, g := loaded(b)
		var list []netip.Prefix
		for i := range n {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
				netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}), 48))
		}
		for _, limit := range []int64{0, 1} { // a limit of a million packets per second, and 86 s of burst
			if err := g.set(drivers.Guard{Deny: list, PerPacket: 1e6 * limit, Depth: 86400e9 * limit}); err != nil {
				b.Fatal(err)
			}
			for _, src := range []string{"192.0.2.1", "2001:db9::1", "10.0.0.1", "2001:db8::1"} {
				if n == 0 && src == "10.0.0.1" { // nothing is denied
					break
				}
				b.Run(fmt.Sprintf("prefixes=%d/limit=%d/from=%s", 2*n, limit, src), func(b *testing.B) { run(b, p.Program, from(src)) })
			}
		}
	}
}
