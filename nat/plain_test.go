package nat_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// What Plain4 and Plain6 make of a packet is what Translate4 and Translate6 do.
func TestPlain(t *testing.T) {
	rig, rng, done, refused := newBench(t), rand.New(rand.NewPCG(7, 8)), 0, 0
	for done < 100_000 {
		f := randomFlow(rng)
		to := other(rng, f)
		if f.exts != 0 || nat.SumAt[f.proto] == 0 {
			continue
		}
		f.partial = rng.IntN(3) == 0 && !f.noSum
		p, l4, at := f.packet()
		if rng.IntN(3) == 0 && !f.partial { // a sum that is wrong stays as wrong
			p[l4+at] ^= byte(rng.Uint32())
		}
		b := rig.setPartial(p, l4, at, f.partial)
		if res := translate(b, &to); res != nat.Done {
			t.Fatalf("%+v: %v", f, res)
		}
		want := bytes.Clone(b.Bytes())
		b = rig.setPartial(p, l4, at, f.partial)
		b.L4 = uint16(b.Off() + l4)
		elsewhere := f.partial && rng.IntN(4) == 0
		if elsewhere {
			b.CsumOffset++
		}
		ports := uint32(to.sport)<<16 | uint32(to.dport)
		var ok bool
		if f.v6 {
			ok = nat.Plain6(b, nat.SumAt[f.proto], to.src, to.dst, ports)
		} else {
			ok = nat.Plain4(b, nat.SumAt[f.proto], to.src.Lo<<32|to.dst.Lo, ports)
		}
		if elsewhere {
			if want, refused = p, refused+1; ok {
				t.Fatal("a partial checksum in another place")
			}
		} else if !ok {
			t.Fatalf("%+v: refused", f)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Fatalf("%+v\nto %+v:\n got % x\nwant % x", f, to, b.Bytes(), want)
		}
		done++
	}
	if refused == 0 {
		t.Error("none was refused")
	}
}

func TestPlainAllocs(t *testing.T) {
	rig, sumAt := newBench(t), nat.SumAt[hdr.ProtoTCP]
	from, to := hdr.Addr6{Lo: 1}, hdr.Addr6{Lo: 2}
	for v6, plain := range map[bool]func(b *buf.Buffer){
		false: func(b *buf.Buffer) { nat.Plain4(b, sumAt, 3<<32|4, 5<<16|6) },
		true:  func(b *buf.Buffer) { nat.Plain6(b, sumAt, to, from, 5<<16|6) },
	} {
		f := flow{v6: v6, src: from, dst: to, proto: hdr.ProtoTCP}
		p, l4, _ := f.packet()
		b := rig.set(p)
		b.L4 = uint16(b.Off() + l4)
		if n := testing.AllocsPerRun(100, func() { plain(b) }); n != 0 {
			t.Errorf("IPv6 %t: %v allocations", v6, n)
		}
	}
}
