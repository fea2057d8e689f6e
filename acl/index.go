package acl

import (
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// An indexMaker is the writer's side of an index.
type indexMaker struct {
	chunks  []*chunkMaker // sorted; together they hold all addresses
	changed bool
	top     ranges
	cut     bool // top is no longer that of chunks
}

// A chunkMaker holds a range of addresses, from the first of its stretches up
// to the next chunk.
type chunkMaker struct {
	stretches []stretch
	frozen    *chunk // nil if it is not that of stretches
}

// A stretch is addresses that are in the same sets.
type stretch struct {
	first hdr.Addr6
	in    []membership // sorted, never written to
}

// Chunks hold about this many stretches: cheap enough to freeze again for each
// change, and few enough chunks to copy their list.
const (
	mostStretches = 256
	fewStretches  = 64
)

func newIndexMaker() indexMaker {
	return indexMaker{chunks: []*chunkMaker{{stretches: []stretch{{}}}}, changed: true, cut: true}
}

// find returns the chunk that x is in.
func (m *indexMaker) find(x hdr.Addr6) int {
	i, is := slices.BinarySearchFunc(m.chunks, x, func(c *chunkMaker, x hdr.Addr6) int {
		return c.stretches[0].first.Compare(x)
	})
	if is {
		return i
	}
	return i - 1
}

// divide makes a stretch begin at x in the chunk that x is in.
func (m *indexMaker) divide(x hdr.Addr6) {
	c := m.chunks[m.find(x)]
	i, is := c.find(x)
	if !is {
		c.stretches = slices.Insert(c.stretches, i, stretch{x, c.stretches[i-1].in})
	}
}

func (c *chunkMaker) find(x hdr.Addr6) (int, bool) {
	return slices.BinarySearchFunc(c.stretches, x, func(s stretch, x hdr.Addr6) int { return s.first.Compare(x) })
}

// paint puts the addresses from first up to below end, or to the last if end is
// 0, into a set or takes them out.
func (m *indexMaker) paint(first, end hdr.Addr6, as membership, in bool) {
	m.changed = true
	m.divide(first)
	if end != (hdr.Addr6{}) {
		m.divide(end)
	}
	memo := repaint{as: as, in: in}
	for i := m.find(first); i < len(m.chunks); i++ {
		c := m.chunks[i]
		if end != (hdr.Addr6{}) && c.stretches[0].first.Compare(end) >= 0 {
			break
		}
		c.paint(first, end, &memo)
		if len(c.stretches) > mostStretches {
			m.split(i)
		}
	}
}

func (c *chunkMaker) paint(first, end hdr.Addr6, memo *repaint) {
	c.frozen = nil
	lo, _ := c.find(first)
	hi := len(c.stretches)
	if end != (hdr.Addr6{}) {
		hi, _ = c.find(end)
	}
	for i := lo; i < hi; i++ {
		c.stretches[i].in = memo.of(c.stretches[i].in)
	}
	// What is now like the one before it, from the first changed to the first
	// behind, is no stretch of its own.
	from, to := max(lo, 1), min(hi+1, len(c.stretches))
	kept := from
	for i := from; i < to; i++ {
		if !slices.Equal(c.stretches[i].in, c.stretches[kept-1].in) {
			c.stretches[kept] = c.stretches[i]
			kept++
		}
	}
	if from < to {
		c.stretches = slices.Delete(c.stretches, kept, to)
	}
}

// split divides chunk i, which is too long, into pieces.
func (m *indexMaker) split(i int) {
	all := m.chunks[i].stretches
	var pieces []*chunkMaker
	for piece := range slices.Chunk(all, mostStretches/2) {
		pieces = append(pieces, &chunkMaker{stretches: slices.Clone(piece)})
	}
	m.chunks = slices.Replace(m.chunks, i, i+1, pieces...)
	m.cut = true
}

// join puts chunks that have become short together with those before them.
func (m *indexMaker) join() {
	kept := m.chunks[:1]
	for _, c := range m.chunks[1:] {
		last := kept[len(kept)-1]
		if len(c.stretches) >= fewStretches && len(last.stretches) >= fewStretches ||
			len(c.stretches)+len(last.stretches) > mostStretches {
			kept = append(kept, c)
			continue
		}
		m.cut = true
		more := c.stretches
		if slices.Equal(more[0].in, last.stretches[len(last.stretches)-1].in) {
			more = more[1:]
		}
		kept[len(kept)-1] = &chunkMaker{stretches: slices.Concat(last.stretches, more)}
	}
	clear(m.chunks[len(kept):])
	m.chunks = kept
}

// freeze returns the index as it is now.
func (m *indexMaker) freeze() index {
	m.changed = false
	m.join()
	if m.cut {
		m.cut = false
		borders := make([]border, len(m.chunks))
		for i, c := range m.chunks {
			borders[i] = border{c.stretches[0].first, uint32(i)}
		}
		m.top = newRanges(borders)
	}
	out := index{m.top, make([]*chunk, len(m.chunks))}
	for i, c := range m.chunks {
		if c.frozen == nil {
			c.frozen = c.freeze()
		}
		out.chunks[i] = c.frozen
	}
	return out
}

func (c *chunkMaker) freeze() *chunk {
	out := &chunk{lists: []membership{0}}
	known := map[uint64][]uint32{}
	borders := make([]border, len(c.stretches))
	for i, s := range c.stretches {
		borders[i] = border{s.first, out.put(s.in, known)}
	}
	borders[0].at = hdr.Addr6{} // ranges begin at 0
	out.ranges = newRanges(borders)
	return out
}

// put returns the index of a list with these memberships.
func (c *chunk) put(in []membership, known map[uint64][]uint32) uint32 {
	if len(in) == 0 {
		return 0
	}
	hash := uint64(0)
	for _, m := range in {
		hash = scramble(hash ^ uint64(m))
	}
	for _, at := range known[hash] {
		if slices.Equal(c.lists[at+1:][:c.lists[at]], in) {
			return at
		}
	}
	at := uint32(len(c.lists))
	c.lists = append(append(c.lists, membership(len(in))), in...)
	known[hash] = append(known[hash], at)
	return at
}

// A repaint adds a membership to lists or takes it out, and remembers the last
// one, since neighbours often share theirs.
type repaint struct {
	as      membership
	in      bool
	was, is []membership
	known   bool
}

func (r *repaint) of(list []membership) []membership {
	if r.known && slices.Equal(r.was, list) {
		return r.is
	}
	r.was, r.is, r.known = list, list, true
	i, has := slices.BinarySearch(list, r.as)
	switch {
	case r.in && !has:
		r.is = slices.Insert(slices.Clip(slices.Clone(list)), i, r.as)
	case !r.in && has:
		r.is = slices.Delete(slices.Clone(list), i, i+1)
	}
	return r.is
}
