package acl

import (
	"math/bits"
)

// An engine matches the packets of one family.
type engine struct {
	vectors
	src, dst, l4 ranges // to the vectors of the rules that match
	depth        uint32 // most steps in one of them
	extras       []extra
}

// Match returns what p says about a packet. s is a snapshot of the Store that
// p was compiled with; it may be nil if p names no sets. hits is nil, or has
// NumRules counters: each rule that matches on the way gets 1 more, Log and Pass
// included, and so does the default that decides.
//
// Each Log or Pass rule on the way costs one more search.
func (p *Program) Match(k *Key, s *Sets, hits []uint64) Verdict {
	e := &p.engines[k.family()]
	v6 := k.Flags&V6 != 0
	k.src = e.src.find(addrNumber(k.Src, v6))
	k.dst = e.dst.find(addrNumber(k.Dst, v6))
	k.l4 = e.l4.find64(e.l4.root, k.l4Key())
	return p.decide(e, k, s, hits)
}

// MatchVector sets out[i] to what Match returns for keys[i]. It takes the whole
// vector through one step of the range lookups before the next, so that their
// cache misses overlap. out has at least the length of keys.
func (p *Program) MatchVector(keys []Key, s *Sets, hits []uint64, out []Verdict) {
	out = out[:len(keys)]
	for i := range keys {
		k := &keys[i]
		e := &p.engines[k.family()]
		k.src, k.dst, k.l4 = e.src.root, e.dst.root, e.l4.root
	}
	for range max(p.engines[0].depth, p.engines[1].depth) {
		for i := range keys {
			k := &keys[i]
			k.step(&p.engines[k.family()])
		}
	}
	for i := range keys {
		k := &keys[i]
		e := &p.engines[k.family()]
		if k.src >= isLower {
			k.src = e.src.find64(k.src^isLower|isNode, k.Src.Lo)
		}
		if k.dst >= isLower {
			k.dst = e.dst.find64(k.dst^isLower|isNode, k.Dst.Lo)
		}
		out[i] = p.decide(e, k, s, hits)
	}
}

// step takes one step of each range lookup that has not come to its end.
func (k *Key) step(e *engine) {
	src, dst := k.Src.Hi, k.Dst.Hi
	if k.Flags&V6 == 0 {
		src, dst = k.Src.Lo&0xffffffff, k.Dst.Lo&0xffffffff
	}
	k.src, k.dst, k.l4 = e.src.step(k.src, src), e.dst.step(k.dst, dst), e.l4.step(k.l4, k.l4Key())
}

// decide finds the rules that match a packet, in their order, until one
// decides. The packet's vectors are in k.
func (p *Program) decide(e *engine, k *Key, s *Sets, hits []uint64) Verdict {
	if len(e.extras) > 0 {
		return p.decideExtra(e, k, s, hits)
	}
	return p.follow(e, k, nil, hits)
}

func (p *Program) decideExtra(e *engine, k *Key, s *Sets, hits []uint64) Verdict {
	var x picks
	e.pick(&x, k, s)
	return p.follow(e, k, &x, hits)
}

func (p *Program) follow(e *engine, k *Key, x *picks, hits []uint64) Verdict {
	logged := NoRule
	for at := uint32(0); ; at = p.resume[at] {
		at = e.first(k, x, at)
		if int(at) >= len(p.verdicts) {
			return Verdict{} // never: the end of all matches everything
		}
		if int(at) < len(hits) {
			hits[at]++
		}
		v := p.verdicts[at]
		switch v.Action {
		case Allow, Deny:
			v.Log = logged
			return v
		case Log:
			logged = min(logged, at)
		}
	}
}

// first returns the number of the first rule from a number on that matches a
// packet.
func (e *engine) first(k *Key, x *picks, from uint32) uint32 {
	if e.width == 1 {
		return e.within(k, x, 0, from)
	}
	for i := from / blockLen / 64; i < e.stride; i++ {
		sum := e.sums[k.src*e.stride+i] & e.sums[k.dst*e.stride+i] & e.sums[k.l4*e.stride+i]
		if i == from/blockLen/64 {
			sum &= ^uint64(0) << (from / blockLen & 63)
		}
		if x != nil {
			for j := range e.extras {
				sum &= e.summary(x, j, i)
			}
		}
		for ; sum != 0; sum &= sum - 1 {
			if at := e.within(k, x, i*64|uint32(bits.TrailingZeros64(sum)), from); at != NoRule {
				return at
			}
		}
	}
	return NoRule
}

// within does so for the rules of block b.
func (e *engine) within(k *Key, x *picks, b, from uint32) uint32 {
	src, dst, l4 := e.block(k.src, b), e.block(k.dst, b), e.block(k.l4, b)
	first := uint32(0)
	mask := ^uint64(0)
	if b == from/blockLen {
		first, mask = from/64%8, mask<<(from&63)
	}
	for w := first; w < uint32(len(src)); w++ {
		word := src[w] & dst[w] & l4[w] & mask
		mask = ^uint64(0)
		if word == 0 {
			continue
		}
		if x != nil {
			for i := 0; i < len(e.extras) && word != 0; i++ {
				word &= e.extraWord(x, i, b, w)
			}
		}
		if word != 0 {
			return b*blockLen | w*64 | uint32(bits.TrailingZeros64(word))
		}
	}
	return NoRule
}
