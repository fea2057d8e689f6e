package acl

import "github.com/skein-dataplane/skein/hdr"

// BatchLen is the most packets of a Batch.
const BatchLen = 256

// A Batch is packets that a worker asks about at once, and room for what is
// found. It belongs to one worker at a time.
type Batch struct {
	Keys   [BatchLen]Key
	asking [BatchLen]uint16 // numbers of the keys that sets are to be asked about
	places [2][BatchLen]spot
	picks  picks
}

// A spot is where the sets of an address are in an index.
type spot struct {
	chunk, at uint32
	n         uint32 // how many they are
}

// FindBatch is Find for the first n keys of a Batch, whose verdicts are then to be
// had by Found. It takes all of them through one step of the range lookups before
// the next, so that their cache misses overlap; those for which a rule asks for
// sets then likewise through the lookups of these.
func (p *Program) FindBatch(b *Batch, n int, s *Sets, hits []uint64) {
	keys := b.Keys[:n]
	families := 0
	for i := range keys {
		families |= 1 << keys[i].family()
	}
	if families&1 != 0 {
		p.engines[0].locate4(keys)
	}
	if families&2 != 0 {
		p.engines[1].locate6(keys)
	}
	asking := b.asking[:0]
	for i := range keys {
		k := &keys[i]
		e := &p.engines[k.family()]
		if e.settle(k); p.begin(e, k, hits) {
			asking = append(asking, uint16(i))
		}
	}
	if len(asking) > 0 {
		p.goOnBatch(b, asking, s, hits)
	}
}

// goOnBatch is goOn for those keys of a Batch that are asking.
func (p *Program) goOnBatch(b *Batch, asking []uint16, s *Sets, hits []uint64) {
	sides := p.engines[0].sides | p.engines[1].sides
	if sides&fromSets != 0 {
		b.locate(&b.places[0], asking, s, (*Key).from)
	}
	if sides&toSets != 0 {
		b.locate(&b.places[1], asking, s, (*Key).to)
	}
	x := &b.picks
	for j, i := range asking {
		k := &b.Keys[i]
		e := &p.engines[k.family()]
		if x.src = nil; e.sides&fromSets != 0 {
			x.src = s.at(b.places[0][j], k.Src, k.Flags&V6 != 0)
		}
		if x.dst = nil; e.sides&toSets != 0 {
			x.dst = s.at(b.places[1][j], k.Dst, k.Flags&V6 != 0)
		}
		e.pick(x, k)
		p.follow(e, k, x, hits)
	}
	x.src, x.dst = nil, nil
}

// locate finds where the sets of some addresses are.
func (b *Batch) locate(out *[BatchLen]spot, asking []uint16, s *Sets, addr func(*Key) hdr.Addr6) {
	for j, i := range asking {
		k := &b.Keys[i]
		if i, x := s.indexOf(addr(k), k.Flags&V6 != 0); i != nil {
			out[j].chunk = i.top.find(x)
		}
	}
	for j, i := range asking {
		k := &b.Keys[i]
		if i, x := s.indexOf(addr(k), k.Flags&V6 != 0); i != nil {
			out[j].at = i.chunks[out[j].chunk].start(x.Hi)
		}
	}
	for j, i := range asking {
		k := &b.Keys[i]
		if i, x := s.indexOf(addr(k), k.Flags&V6 != 0); i != nil {
			out[j].at = i.chunks[out[j].chunk].rest(out[j].at, x)
		}
	}
	for j, i := range asking {
		k := &b.Keys[i]
		if i, _ := s.indexOf(addr(k), k.Flags&V6 != 0); i != nil {
			c := i.chunks[out[j].chunk]
			out[j].n = uint32(c.lists[out[j].at])
		}
	}
}

func (k *Key) from() hdr.Addr6 { return k.Src }
func (k *Key) to() hdr.Addr6   { return k.Dst }

// at returns the memberships at a spot.
func (s *Sets) at(p spot, a hdr.Addr6, v6 bool) []membership {
	i, _ := s.indexOf(a, v6)
	if i == nil {
		return nil
	}
	return i.chunks[p.chunk].lists[p.at+1:][:p.n]
}
