package nat_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

func translate(b *buf.Buffer, to *flow) nat.Result {
	if to.v6 {
		return nat.Translate6(b, &nat.Tuple6{Src: to.src, Dst: to.dst, SrcPort: to.sport, DstPort: to.dport})
	}
	return nat.Translate4(b, &nat.Tuple4{Src: hdr.Addr4(to.src.Lo), Dst: hdr.Addr4(to.dst.Lo), SrcPort: to.sport, DstPort: to.dport})
}

// other returns the flow with other addresses and ports.
func other(rng *rand.Rand, f flow) flow {
	to := f
	if rng.IntN(3) > 0 {
		to.src = randomAddr(rng, f.v6)
	}
	if rng.IntN(3) > 0 {
		to.dst = randomAddr(rng, f.v6)
	}
	if rng.IntN(3) > 0 {
		to.sport, to.dport = randomPort(rng), randomPort(rng)
	}
	if f.proto == udpLite || f.proto == dccp { // 0 and 0 leave them as they are
		to.sport |= 1
	}
	if f.proto == hdr.ProtoICMP || f.proto == hdr.ProtoICMPv6 {
		to.onlyID()
	}
	return to
}

// A translated packet is the one that is made from scratch with the addresses
// and ports that it is to have.
func TestTranslate(t *testing.T) {
	rig, rng := newBench(t), rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		f := randomFlow(rng)
		to := other(rng, f)
		f.partial = rng.IntN(4) == 0 && !f.noSum
		switch rng.IntN(8) {
		case 0:
			f.more, f.partial, f.after = true, false, []byte("what other fragments have")
		case 1:
			f.offset, f.partial = true, false
		}
		to.partial, to.more, to.offset, to.after = f.partial, f.more, f.offset, f.after
		if f.offset {
			to.sport, to.dport = f.sport, f.dport
			f.payload = nil // its bytes are any
			to.payload = nil
		}
		p, l4, at := f.packet()
		want, _, _ := to.packet()
		if f.offset { // what stands there is no header
			copy(want[l4:], p[l4:])
		}
		b := rig.setPartial(p, l4, at, f.partial && at >= 0)
		res := translate(b, &to)
		if f.proto == hdr.ProtoSCTP && f.more && (f.sport != to.sport || f.dport != to.dport) {
			if res != nat.Unfixable || !bytes.Equal(b.Bytes(), p) {
				t.Fatalf("first fragment of SCTP: %v", res)
			}
			continue
		}
		if res != nat.Done || !bytes.Equal(b.Bytes(), want) {
			t.Fatalf("%+v\nto %+v: %v\n got % x\nwant % x", f, to, res, b.Bytes(), want)
		}
	}
}

// An error is translated by what it quotes, wherever that is cut off: what its
// receiver gets is what it would have got had nothing been translated.
func TestTranslateErrors(t *testing.T) {
	rig, rng := newBench(t), rand.New(rand.NewPCG(3, 4))
	types4 := []byte{hdr.ICMPUnreachable, 4, hdr.ICMPTimeExceeded, hdr.ICMPParamProblem}
	types6 := []byte{hdr.ICMP6Unreachable, hdr.ICMP6TooBig, hdr.ICMP6TimeExceeded, hdr.ICMP6ParamProblem, 100, 127}
	done := 0
	for range 200_000 {
		f := randomFlow(rng)
		to := other(rng, f)
		if rng.IntN(8) == 0 && f.proto != hdr.ProtoSCTP {
			f.more, to.more = true, true
		}
		f.after = []byte("more")[:len("more")*b2i(f.more)]
		to.after = f.after
		router := randomAddr(rng, f.v6)
		if rng.IntN(2) == 0 {
			router = f.dst
		}
		e := errorOf{typ: types4[rng.IntN(len(types4))], from: router, to: f.src, quotes: f, cut: 20 + rng.IntN(120), partial: rng.IntN(8) == 0}
		if f.v6 {
			e.typ = types6[rng.IntN(len(types6))]
		}
		_, l4, at := f.packet()
		if width := 2 + 2*b2i(f.proto == hdr.ProtoSCTP); e.cut > l4+at && e.cut < l4+at+width {
			e.cut = l4 + at // half a sum can't be kept right, and nobody reads it
		}
		want := e
		want.to, want.quotes = to.src, to
		if f.dst != to.dst {
			want.from = to.dst
		}
		p, outer := e.packet()
		b := rig.setPartial(p, outer, 2, e.partial)
		back := to.swap() // the error goes against what it quotes
		res := translate(b, &back)
		if res == nat.Short {
			if !bytes.Equal(b.Bytes(), p) || e.cut >= l4+8 {
				t.Fatalf("cut to %d, header at %d: %v", e.cut, l4, res)
			}
			continue
		}
		done++
		wantBytes, _ := want.packet()
		if res != nat.Done || !bytes.Equal(b.Bytes(), wantBytes) {
			t.Fatalf("%+v\nto %+v cut to %d: %v\n got % x\nwant % x", f, to, e.cut, res, b.Bytes(), wantBytes)
		}
	}
	if done < 150_000 {
		t.Errorf("only %d errors translated", done)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestTranslateRefuses(t *testing.T) {
	rig := newBench(t)
	f := flow{src: hdr.Addr6{Lo: 0x0a000001}, dst: hdr.Addr6{Lo: 0x0a000002}, sport: 1, dport: 2, proto: hdr.ProtoUDP}
	to := flow{src: hdr.Addr6{Lo: 0x0a000003}, dst: f.src, sport: 2, dport: 9}
	redirect := errorOf{typ: hdr.ICMPRedirect, from: hdr.Addr6{Lo: 7}, to: f.src, quotes: f, cut: 28}
	astray := errorOf{typ: hdr.ICMPUnreachable, from: hdr.Addr6{Lo: 7}, to: hdr.Addr6{Lo: 8}, quotes: f, cut: 28}
	for want, e := range map[nat.Result]errorOf{nat.Redirect: redirect, nat.Misquoted: astray} {
		p, _ := e.packet()
		if got := translate(rig.set(p), &to); got != want || !bytes.Equal(rig.b.Bytes(), p) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	routed := flow{v6: true, proto: 43, payload: []byte{1}}
	p, at, _ := routed.packet()
	p = append(p[:at], []byte{hdr.ProtoUDP, 0, 4, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0}...)
	if got := translate(rig.set(p), &flow{v6: true}); got != nat.Unfixable {
		t.Errorf("on its way: %v", got)
	}
	for n := range len(p) {
		if got := translate(rig.set(p[:n]), &flow{v6: true}); got == nat.Done {
			t.Errorf("%d bytes: %v", n, got)
		}
	}
	for r := range nat.NumResults + 1 {
		if r.String() == "" {
			t.Errorf("result %d has no name", r)
		}
	}
}

// Whatever the bytes: no panic, a refused packet is as it was, nothing but
// addresses, ports and sums changes, and there and back is the same.
func FuzzTranslate(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		fl := randomFlow(rng)
		p, _, _ := fl.packet()
		f.Add(p, uint32(1), uint32(2), false)
		e := errorOf{typ: 3, from: fl.dst, to: fl.src, quotes: fl, cut: 60}
		p, _ = e.packet()
		f.Add(p, uint32(1), uint32(2), true)
	}
	rig := newBench(f)
	f.Fuzz(func(t *testing.T, p []byte, addrs, ports uint32, partial bool) {
		if len(p) == 0 || len(p) > 1500 {
			return
		}
		to := flow{v6: p[0]>>4 == 6, sport: uint16(ports), dport: uint16(ports >> 16)}
		to.src, to.dst = hdr.Addr6{Lo: uint64(addrs)}, hdr.Addr6{Lo: uint64(addrs) ^ 0xff}
		b := rig.setPartial(p, 20, 6, partial)
		room := bytes.Clone(b.Room())
		res := translate(b, &to)
		if res != nat.Done && !bytes.Equal(b.Bytes(), p) {
			t.Fatalf("%v, and changed", res)
		}
		if b.Len() != len(p) || !bytes.Equal(b.Room()[len(p):], room[len(p):]) {
			t.Fatal("bytes behind the packet changed")
		}
	})
}

func TestTranslateAllocs(t *testing.T) {
	rig := newBench(t)
	f := flow{src: hdr.Addr6{Lo: 1}, dst: hdr.Addr6{Lo: 2}, proto: hdr.ProtoTCP}
	p, _, _ := f.packet()
	b := rig.set(p)
	if n := testing.AllocsPerRun(100, func() { translate(b, &f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTranslate(b *testing.B) {
	for name, proto := range map[string]uint8{"tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "sctp": hdr.ProtoSCTP} {
		for _, v6 := range []bool{false, true} {
			f := flow{v6: v6, src: hdr.Addr6{Lo: 1}, dst: hdr.Addr6{Lo: 2}, proto: proto, payload: make([]byte, 64)}
			g := f.swap()
			g.sport = 7
			family := "/ip4"
			if v6 {
				family = "/ip6"
			}
			b.Run(name+family, func(b *testing.B) {
				rig := newBench(b)
				p, _, _ := f.packet()
				x := rig.set(p)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i&1 == 0 {
						translate(x, &g)
					} else {
						translate(x, &f)
					}
				}
			})
		}
	}
}
