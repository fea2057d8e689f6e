package acl

// BatchLen is the most packets of a Batch.
const BatchLen = 256

// A Batch is packets that a worker asks about at once, and room for what is
// found. It belongs to one worker at a time.
type Batch struct {
	Keys     [BatchLen]Key
	asking   [BatchLen]uint16 // numbers of the keys for which rules ask for sets
	src, dst [BatchLen]spot   // of these
	picks    picks
}

// A spot is where the sets of an address are in an index.
type spot struct {
	chunk, at uint32
	n         uint32 // how many they are
}

// FindBatch is Find for the first n keys of a Batch, which are of one family. Found
// then has the verdicts. It takes all of them through one step of the range lookups
// before the next, so that their cache misses overlap; those for which a rule asks
// for sets then likewise through the lookups of these.
func (p *Program) FindBatch(b *Batch, n int, s *Sets, hits []uint64) {
	if n == 0 {
		return
	}
	keys, family := b.Keys[:n], b.Keys[0].family()
	e := &p.engines[family]
	if family == 0 {
		e.locate4(keys)
	} else {
		e.locate6(keys)
	}
	asking := b.asking[:0]
	for i := range keys {
		if k := &keys[i]; p.begin(e, k, hits) {
			asking = append(asking, uint16(i))
		}
	}
	if len(asking) > 0 {
		p.goOnBatch(e, b, asking, s.of(family), hits)
	}
}

// goOnBatch is goOn for those keys of a Batch that are asking.
func (p *Program) goOnBatch(e *engine, b *Batch, asking []uint16, s *index, hits []uint64) {
	if e.sides&fromSets != 0 {
		b.locate(&b.src, asking, s, false)
	}
	if e.sides&toSets != 0 {
		b.locate(&b.dst, asking, s, true)
	}
	x := &b.picks
	x.src, x.dst = nil, nil
	for j, i := range asking {
		k := &b.Keys[i]
		if e.sides&fromSets != 0 {
			x.src = s.at(b.src[j])
		}
		if e.sides&toSets != 0 {
			x.dst = s.at(b.dst[j])
		}
		e.pick(x, k)
		p.follow(e, k, x, hits)
	}
	x.src, x.dst = nil, nil // of a snapshot that may go
}

// locate finds where the sets of one address of each of some keys are.
func (b *Batch) locate(out *[BatchLen]spot, asking []uint16, s *index, dst bool) {
	if s.isEmpty() {
		return
	}
	for j, i := range asking {
		out[j].chunk = s.top.find(b.Keys[i].number(dst))
	}
	for j, i := range asking {
		out[j].at = s.chunks[out[j].chunk].start(b.Keys[i].number(dst).Hi)
	}
	for j, i := range asking {
		out[j].at = s.chunks[out[j].chunk].rest(out[j].at, b.Keys[i].number(dst))
	}
	for j := range asking {
		out[j].n = uint32(s.chunks[out[j].chunk].lists[out[j].at])
	}
}

// at returns the memberships at a spot.
func (s *index) at(p spot) []membership {
	if s.isEmpty() {
		return nil
	}
	return s.chunks[p.chunk].lists[p.at+1:][:p.n]
}
