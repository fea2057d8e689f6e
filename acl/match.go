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
	asks         []uint64 // bit i: rule i has conditions that are extras
	sides        uint8    // which an extra has sets of
}

// The sides of an engine.
const (
	fromSets = 1 << iota
	toSets
)

// Match returns what p says about a packet. s is a snapshot of the Store that
// p was compiled with; it may be nil if p names no sets. hits is nil, or has
// NumRules counters: each rule that matches on the way gets 1 more, Log and Pass
// included, and so does the default that decides.
//
// Each Log or Pass rule on the way costs one more search.
func (p *Program) Match(k *Key, s *Sets, hits []uint64) Verdict {
	found, logged := p.Find(k, s, hits)
	v := *found
	v.Log = logged
	return v
}

// Find is Match without a copy: the verdict is p's own, to be read, and its Log
// is not that of the packet, which is logged. To move a verdict that was just
// written by its fields waits for the stores, for 10 clocks at each turn
// (BenchmarkACL, Zen 5).
func (p *Program) Find(k *Key, s *Sets, hits []uint64) (v *Verdict, logged uint32) {
	e := &p.engines[k.family()]
	src, dst := k.Src.Lo&0xffffffff, k.Dst.Lo&0xffffffff
	if k.Flags&V6 != 0 {
		src, dst = k.Src.Hi, k.Dst.Hi
	}
	k.src, k.dst, k.l4 = e.src.find64(src), e.dst.find64(dst), e.l4.find64(k.l4Key())
	if p.begin(e, k, hits) {
		p.goOn(e, k, s, hits)
	}
	return p.Found(k)
}

// locate4 finds the vectors of IPv4 packets.
func (e *engine) locate4(keys []Key) {
	src, dst, l4 := &e.src, &e.dst, &e.l4
	for i := range keys {
		k := &keys[i]
		k.src, k.dst, k.l4 = src.start(k.Src.Lo&0xffffffff), dst.start(k.Dst.Lo&0xffffffff), l4.start(k.l4Key())
	}
	for range e.depth {
		for i := range keys {
			k := &keys[i]
			if k.src >= isNode {
				k.src = src.step(k.src, k.Src.Lo&0xffffffff)
			}
			if k.dst >= isNode {
				k.dst = dst.step(k.dst, k.Dst.Lo&0xffffffff)
			}
			if k.l4 >= isNode {
				k.l4 = l4.step(k.l4, k.l4Key())
			}
		}
	}
}

// locate6 does so for IPv6. The lower halves are left to begin.
func (e *engine) locate6(keys []Key) {
	src, dst, l4 := &e.src, &e.dst, &e.l4
	for i := range keys {
		k := &keys[i]
		k.src, k.dst, k.l4 = src.start(k.Src.Hi), dst.start(k.Dst.Hi), l4.start(k.l4Key())
	}
	for range e.depth {
		for i := range keys {
			k := &keys[i]
			if k.src >= isNode {
				k.src = src.step(k.src, k.Src.Hi)
			}
			if k.dst >= isNode {
				k.dst = dst.step(k.dst, k.Dst.Hi)
			}
			if k.l4 >= isNode {
				k.l4 = l4.step(k.l4, k.l4Key())
			}
		}
	}
}

// begin finds what decides about a packet whose vectors are in k, or where to find
// them by the lower halves of addresses. It stops at the first rule that matches but
// for extras that it has, and then returns true. Most packets are decided by rules
// without, or never get as far as one with.
func (p *Program) begin(e *engine, k *Key, hits []uint64) (asks bool) {
	if k.src >= isLower {
		k.src = e.src.lower(k.src, k.Src.Lo)
	}
	if k.dst >= isLower {
		k.dst = e.dst.lower(k.dst, k.Dst.Lo)
	}
	k.at, k.logged = 0, NoRule
	p.follow(e, k, nil, hits)
	return e.asksMore(k.at)
}

// goOn goes on from there, with what the packet is in of sets. It is apart since
// its picks take a while to clear.
func (p *Program) goOn(e *engine, k *Key, s *Sets, hits []uint64) {
	var x picks
	if e.sides&fromSets != 0 {
		x.src = s.of(k.family()).list(k.number(false))
	}
	if e.sides&toSets != 0 {
		x.dst = s.of(k.family()).list(k.number(true))
	}
	e.pick(&x, k)
	p.follow(e, k, &x, hits)
}

// Found returns what Find has for a packet whose Batch has been matched.
func (p *Program) Found(k *Key) (v *Verdict, logged uint32) {
	return &p.verdicts[min(k.at, uint32(len(p.verdicts)-1))], k.logged
}

// asksMore reports whether a rule has conditions that are extras.
func (e *engine) asksMore(rule uint32) bool {
	w := int(rule / 64)
	return w < len(e.asks) && e.asks[w]>>(rule&63)&1 != 0
}

// follow finds the rules that match, from k.at on, in their order, until one
// decides, and leaves it in k.at. Without picks it stops at one that has extras.
func (p *Program) follow(e *engine, k *Key, x *picks, hits []uint64) {
	at, logged := k.at, k.logged
	for {
		at = min(e.first(k, x, at), uint32(len(p.verdicts)-1)) // the end of all matches everything
		if x == nil && e.asksMore(at) {
			break
		}
		if int(at) < len(hits) {
			hits[at]++
		}
		action := p.verdicts[at].Action
		if action == Log {
			logged = min(logged, at)
		} else if action != Pass {
			break
		}
		at = p.resume[at]
	}
	k.at, k.logged = at, logged
}

// first returns the number of the first rule from a number on that matches a
// packet.
func (e *engine) first(k *Key, x *picks, from uint32) uint32 {
	if e.width == 1 {
		return e.within(k, x, 0, from)
	}
	for i := from / blockLen / 64; i < e.sums; i++ {
		sum := e.sum(k.src, i) & e.sum(k.dst, i) & e.sum(k.l4, i)
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
	words, mask := common(src, dst, l4), ^uint64(0)
	if b == from/blockLen {
		words &= ^uint32(0) << (from / 64 % 8)
		mask <<= from & 63
	}
	if x != nil && words != 0 {
		if x.many {
			return e.withMany(x, &[3]*block{src, dst, l4}, b, from)
		}
		return e.withFew(x, &[3]*block{src, dst, l4}, b, from, words)
	}
	for ; words != 0; words &= words - 1 {
		w := uint32(bits.TrailingZeros32(words)) & 7
		word := src[w] & dst[w] & l4[w]
		if b*8+w == from/64 {
			word &= mask
		}
		if word != 0 {
			return b*blockLen | w*64 | uint32(bits.TrailingZeros64(word))
		}
	}
	return NoRule
}

// common returns a bit for each word in which three blocks share a bit. It has
// no branches: which word decides can't be predicted, and to guess wrong costs
// more than to look at all eight.
func common(a, b, c *block) (words uint32) {
	for w := range a {
		bit := uint32(0)
		if a[w]&b[w]&c[w] != 0 {
			bit = 1
		}
		words |= bit << w
	}
	return words
}
