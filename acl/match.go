package acl

import (
	"math/bits"
)

// An engine matches the packets of one family.
type engine struct {
	vectors
	src, dst, l4 ranges // to the vectors of the rules that match
	depth        int    // most steps in one of them
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
	if k.src >= isNode {
		k.src = e.src.step(k.src, src)
	}
	if k.dst >= isNode {
		k.dst = e.dst.step(k.dst, dst)
	}
	if k.l4 >= isNode {
		k.l4 = e.l4.step(k.l4, k.l4Key())
	}
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
	for pair := from >> 12; pair < e.pairs; pair++ {
		src, dst, l4 := e.bits[k.src+2*pair:], e.bits[k.dst+2*pair:], e.bits[k.l4+2*pair:]
		sum := src[0] & dst[0] & l4[0]
		if x != nil {
			for i := range e.extras {
				sum &= e.summary(x, i, 2*pair)
			}
		}
		if pair == from>>12 {
			sum &= ^uint64(0) << (from >> 6 & 63)
		}
		for ; sum != 0; sum &= sum - 1 {
			bit := uint32(bits.TrailingZeros64(sum))
			below := uint64(1)<<(bit&63) - 1
			word := e.bits[src[1]+uint64(bits.OnesCount64(src[0]&below))] &
				e.bits[dst[1]+uint64(bits.OnesCount64(dst[0]&below))] &
				e.bits[l4[1]+uint64(bits.OnesCount64(l4[0]&below))]
			at := pair<<6 | bit
			if at == from>>6 {
				word &= ^uint64(0) << (from & 63)
			}
			if x != nil {
				for i := 0; i < len(e.extras) && word != 0; i++ {
					word &= e.extraWord(x, i, at)
				}
			}
			if word != 0 {
				return at<<6 | uint32(bits.TrailingZeros64(word))
			}
		}
	}
	return NoRule
}
