package nat

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/skein-dataplane/skein/hdr"
)

// An Affinity remembers which backend a client of a service was given. It
// belongs to one worker, holds no pointers and does not grow: where 8 others
// are in a client's way, the one that has been idle longest is forgotten. A
// flood of clients so costs others their affinity, and nothing else.
type Affinity struct {
	sets    []affinitySet // a power of two
	seed    [2]uint64     // unforeseeable, so that nobody can fill one set
	evicted uint64
}

const affinityWays = 8

type affinitySet [affinityWays]affinityEntry

type affinityEntry struct {
	client, backend hdr.Addr6
	service         uint32
	hint            uint32 // index of the backend at that time
	until           uint32 // seconds
	port            uint16
	_               uint16
}

func (e *affinityEntry) is(service uint32, client hdr.Addr6, now uint32) bool {
	return e.service == service && e.client == client && e.live(now)
}

func (e *affinityEntry) live(now uint32) bool { return e.until != 0 && int32(e.until-now) > 0 }

// NewAffinity returns a table of at least the given number of clients.
func NewAffinity(clients int) (*Affinity, error) {
	sets := 1
	for sets*affinityWays < clients {
		sets *= 2
	}
	a := &Affinity{sets: make([]affinitySet, sets)}
	seed, err := newSeed()
	a.seed = seed
	return a, err
}

func newSeed() (s [2]uint64, err error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return s, fmt.Errorf("nat: seed: %w", err)
	}
	return [2]uint64{binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])}, nil
}

// place returns the client's entry, or else the one that it is to take.
func (a *Affinity) place(service uint32, client hdr.Addr6, now uint32) *affinityEntry {
	h := mum(mum(client.Hi^a.seed[0], client.Lo^a.seed[1])^uint64(service), k3)
	set := &a.sets[h&uint64(len(a.sets)-1)]
	worst := &set[0]
	for i := range set {
		e := &set[i]
		if e.is(service, client, now) {
			return e
		}
		if e.left(now) < worst.left(now) {
			worst = e
		}
	}
	if worst.live(now) {
		a.evicted++
	}
	return worst
}

// left returns the seconds that an entry has left; 0 if it is free.
func (e *affinityEntry) left(now uint32) uint32 {
	if !e.live(now) {
		return 0
	}
	return e.until - now
}

// An AffinityEntry is what is remembered of a client.
type AffinityEntry struct {
	Client, Backend hdr.Addr6
	Port            uint16
	Left            uint32 // seconds
}

// Entries calls yield with what is remembered of a service's clients, until it
// returns false.
func (a *Affinity) Entries(service, now uint32, yield func(AffinityEntry) bool) {
	a.All(now, func(of uint32, e AffinityEntry) bool { return of != service || yield(e) })
}

// All calls yield with what is remembered of all services' clients, each with
// its service (Spec.ID), until it returns false.
func (a *Affinity) All(now uint32, yield func(service uint32, e AffinityEntry) bool) {
	for i := range a.sets {
		for j := range a.sets[i] {
			e := &a.sets[i][j]
			if e.live(now) && !yield(e.service, AffinityEntry{e.client, e.backend, e.port, e.left(now)}) {
				return
			}
		}
	}
}

// Remember has a client of a service stay with a backend for e.Left seconds, as
// if a flow had been given to it. It takes the place of what is known of the
// client. With no time left there is nothing to remember.
func (a *Affinity) Remember(service uint32, e AffinityEntry, now uint32) {
	if e.Left == 0 {
		return
	}
	*a.place(service, e.Client, now) = affinityEntry{client: e.Client, backend: e.Backend, service: service, until: now + e.Left, port: e.Port}
}

// Evicted returns how many clients were forgotten before their time.
func (a *Affinity) Evicted() uint64 { return a.evicted }
