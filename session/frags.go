package session

import (
	"fmt"

	"github.com/skein-dataplane/skein/hdr"
)

// A FragKey is what the fragments of one packet have in common: both
// addresses, identification and zone, and for IPv4 the protocol (RFC 791,
// section 3.2; RFC 8200, section 4.5).
type FragKey struct {
	src, dst hdr.Addr6
	rest     uint64 // identification, 32 | zone, 16 | protocol, 8 | version, 8
}

func fragKey4(src, dst hdr.Addr4, id uint32, proto uint8, zone uint16) FragKey {
	return FragKey{hdr.Addr6{Lo: uint64(src)}, hdr.Addr6{Lo: uint64(dst)},
		uint64(id)<<32 | uint64(zone)<<16 | uint64(proto)<<8 | 4}
}

func fragKey6(src, dst hdr.Addr6, id uint32, zone uint16) FragKey {
	return FragKey{src, dst, uint64(id)<<32 | uint64(zone)<<16 | 6}
}

// A Piece is where a fragment lies in its packet: bytes From up to To of what is
// cut, and whether these are the last.
type Piece struct {
	From, To uint32
	Last     bool
}

// piece is of a fragment with n bytes behind an offset in units of 8 bytes (RFC
// 791, section 3.1; RFC 8200, section 4.5).
func piece(offset uint16, n int, more bool) Piece {
	from := 8 * uint32(offset)
	return Piece{from, from + uint32(n), !more}
}

// A FragAnswer is what Frags knows about a later fragment.
type FragAnswer uint8

const (
	_     FragAnswer = iota
	Known            // its ports are these
	Hold             // the first fragment has not come: keep this one until First says that it has
	Drop             // too many of this packet wait already
)

const (
	fragWays    = 4  // entries of one set
	fragTimeout = 30 // seconds
	// doneTimeout is how long a packet that is complete is known, in seconds of the
	// worker's clock: for copies of its fragments, which take other ways.
	doneTimeout = 2
	// maxHeld is how many fragments of one packet may wait for the first.
	maxHeld = 16
)

// Frags remembers the ports of fragmented packets, so that their later
// fragments find their session though only the first carries ports: virtual
// reassembly. It is of fixed size; a set of entries that is full forgets the
// entry that is of least use. It is its worker's only, like a Table.
//
// A packet whose fragments have come in order is complete with the last, and is
// forgotten soon: its identification may be another's then. Whether those that
// came in another order are all there is not kept track of.
type Frags struct {
	sets  [][fragWays]fragEntry
	seed  seed
	stats FragStats
}

type fragEntry struct {
	key          FragKey
	sport, dport uint16
	when         uint32 // second of the last First, of the first Later while that is missing, or of the end
	next         uint32 // bytes that have come without a gap
	state        fragState
	held         uint8
}

type fragState uint8

const (
	fragFree fragState = iota
	fragAwaited
	fragKnown
	fragDone // known, and complete
)

// FragStats are the numbers of a Frags.
type FragStats struct {
	Capacity int
	First    uint64 // first fragments
	Known    uint64 // later ones whose ports were known
	Held     uint64 // later ones that came before the first
	Dropped  uint64 // later ones that were too many
	Evicted  uint64 // packets forgotten before their time
}

// NewFrags returns a Frags for about capacity packets at a time.
func NewFrags(capacity int) (*Frags, error) {
	if capacity < 1 || capacity > 1<<20 {
		return nil, fmt.Errorf("session: fragments: capacity of %d: want 1 to %d", capacity, 1<<20)
	}
	s, err := newSeed()
	if err != nil {
		return nil, fmt.Errorf("session: fragments: seed of the hash: %w", err)
	}
	return &Frags{sets: make([][fragWays]fragEntry, (capacity+fragWays-1)/fragWays), seed: s}, nil
}

// First takes note of a first fragment, of its ports and its place. It returns how many later
// ones have been answered with Hold: send those on now.
func (f *Frags) First(k *FragKey, sport, dport uint16, at Piece, now uint32) (held int) {
	f.stats.First++
	e, found := f.find(k, now)
	if found && e.state == fragAwaited {
		held = int(e.held)
	}
	if !found {
		f.evict(e, now)
	}
	*e = fragEntry{key: *k, sport: sport, dport: dport, when: now, next: at.To, state: fragKnown}
	return held
}

// Later returns the ports of a later fragment, or what to do without them.
func (f *Frags) Later(k *FragKey, at Piece, now uint32) (sport, dport uint16, answer FragAnswer) {
	e, found := f.find(k, now)
	switch {
	case found && e.state != fragAwaited:
		f.stats.Known++
		e.follow(at, now)
		return e.sport, e.dport, Known
	case !found:
		f.evict(e, now)
		*e = fragEntry{key: *k, when: now, state: fragAwaited}
	case e.held == maxHeld:
		f.stats.Dropped++
		return 0, 0, Drop
	}
	e.held++
	f.stats.Held++
	return 0, 0, Hold
}

// follow takes note of a fragment that follows what has come. Any other, a copy
// or one from behind a gap, tells nothing.
func (e *fragEntry) follow(at Piece, now uint32) {
	if e.state == fragDone || at.From != e.next {
		return
	}
	e.next = at.To
	if at.Last {
		e.state, e.when = fragDone, now
	}
}

// Stats returns the numbers.
func (f *Frags) Stats() FragStats {
	s := f.stats
	s.Capacity = len(f.sets) * fragWays
	return s
}

// find returns the entry of a packet, or else the one to be taken for it: a
// free or an old one, the oldest that is complete, the oldest that still waits for
// its first fragment, or the oldest.
func (f *Frags) find(k *FragKey, now uint32) (best *fragEntry, found bool) {
	hash := f.seed.hash6(&Key6{k.src, k.dst, k.rest})
	set := &f.sets[hash>>32*uint64(len(f.sets))>>32]
	bestScore := uint64(0)
	for i := range set {
		e := &set[i]
		live := e.live(now)
		if live && e.key == *k {
			return e, true
		}
		score := 1 + uint64(now-e.when)
		switch {
		case !live:
			score |= 3 << 33
		case e.state == fragDone:
			score |= 2 << 33
		case e.state == fragAwaited:
			score |= 1 << 33
		}
		if score > bestScore {
			best, bestScore = e, score
		}
	}
	return best, false
}

func (e *fragEntry) live(now uint32) bool {
	switch e.state {
	case fragFree:
		return false
	case fragDone:
		return now-e.when < doneTimeout
	}
	return now-e.when < fragTimeout
}

// evict counts what is lost when the entry is taken for another packet.
func (f *Frags) evict(e *fragEntry, now uint32) {
	if e.live(now) && e.state != fragDone {
		f.stats.Evicted++
	}
}
