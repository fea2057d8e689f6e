package buf

import "fmt"

// A Pool is the buffers of an Arena that one worker has. Nothing in it is
// shared, so nothing in it is locked.
type Pool struct {
	arena       *Arena
	small       []*Buffer
	large       []*Buffer
	nSmall      int
	nLarge      int
	misses      uint64
	largeMisses uint64
}

// NewPool maps an arena of the given numbers of small and large frames, and
// returns a pool that owns all of it.
func NewPool(small, large int) (*Pool, error) {
	pools, err := NewPools(1, small, large)
	if err != nil {
		return nil, err
	}
	return pools[0], nil
}

// NewPools maps an arena of the given numbers of small and large frames in all,
// and deals them out to n pools. Each may come to hold any number of them, as
// packets are handed over from worker to worker.
func NewPools(n, small, large int) ([]*Pool, error) {
	if n < 1 {
		return nil, fmt.Errorf("buf: %d pools: at least one is needed", n)
	}
	a, err := NewArena(small, large)
	if err != nil {
		return nil, err
	}
	pools := make([]*Pool, n)
	smalls, larges := a.bufs[:small], a.bufs[small:]
	for i := range pools {
		p := &Pool{arena: a, nSmall: len(smalls) / (n - i), nLarge: len(larges) / (n - i),
			small: make([]*Buffer, 0, small), large: make([]*Buffer, 0, large)}
		p.deal(smalls[:p.nSmall])
		p.deal(larges[:p.nLarge])
		smalls, larges = smalls[p.nSmall:], larges[p.nLarge:]
		pools[i] = p
	}
	return pools, nil
}

// deal gives a pool its first buffers. Last in, first out: the frame that was
// used last is still in the cache.
func (p *Pool) deal(bufs []Buffer) {
	for i := len(bufs) - 1; i >= 0; i-- {
		p.Put([]*Buffer{&bufs[i]})
	}
}

// Arena returns the memory behind the pool.
func (p *Pool) Arena() *Arena { return p.arena }

// Get moves up to len(out) small buffers out of the pool, each reset, and
// reports how many.
func (p *Pool) Get(out []*Buffer) int { return take(&p.small, out, &p.misses) }

// GetLarge is Get for buffers that hold a superpacket.
func (p *Pool) GetLarge(out []*Buffer) int { return take(&p.large, out, &p.largeMisses) }

func take(free *[]*Buffer, out []*Buffer, misses *uint64) int {
	n := min(len(out), len(*free))
	if n < len(out) {
		*misses++
	}
	rest := len(*free) - n
	copy(out, (*free)[rest:])
	*free = (*free)[:rest]
	for _, b := range out[:n] {
		b.Reset()
	}
	return n
}

// Put takes buffers back. Each must have come from a pool of the same arena.
func (p *Pool) Put(bufs []*Buffer) {
	for len(bufs) > 0 {
		n := 0
		for n < len(bufs) && !p.arena.isLarge(bufs[n]) {
			n++
		}
		p.small = append(p.small, bufs[:n]...)
		for bufs = bufs[n:]; len(bufs) > 0 && p.arena.isLarge(bufs[0]); bufs = bufs[1:] {
			p.large = append(p.large, bufs[0])
		}
	}
}

// Free returns how many buffers are in the pool.
func (p *Pool) Free() (small, large int) { return len(p.small), len(p.large) }

// Short reports whether the pool has less than half of its share of either
// class: then it is to ask other workers' pools for some.
func (p *Pool) Short() (small, large bool) {
	return len(p.small) < p.nSmall/2, len(p.large) < p.nLarge/2
}

// Stats are a pool's numbers of buffers.
type Stats struct {
	Small, Large         int    // its share of the arena
	SmallFree, LargeFree int    // in the pool now; of several pools one may have more than its share
	Misses, LargeMisses  uint64 // calls that got fewer than they asked for
}

// Stats returns the pool's numbers. Only the owning worker may call it.
func (p *Pool) Stats() Stats {
	return Stats{p.nSmall, p.nLarge, len(p.small), len(p.large), p.misses, p.largeMisses}
}
