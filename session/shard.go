package session

import (
	"fmt"

	"github.com/skein-dataplane/skein/hdr"
)

// A Sharding says which of several workers a flow belongs to: the same for both
// directions, and for ICMP errors about it, as their key is the flow's.
//
// Nobody who does not know the seed can have all flows fall on one worker. The
// seed stays the same as long as tables of sessions do, or they have to be dealt
// out anew.
type Sharding struct {
	seed seed
	n    uint32
}

// NewSharding returns a Sharding over n workers with a random seed.
func NewSharding(n int) (*Sharding, error) {
	s, err := newSeed()
	if err != nil {
		return nil, fmt.Errorf("session: seed of the sharding: %w", err)
	}
	return SeededSharding(n, s), nil
}

// SeededSharding returns the Sharding over n workers whose Seed was seed.
func SeededSharding(n int, seed [4]uint64) *Sharding { return &Sharding{seed, uint32(n)} }

// Seed returns what SeededSharding makes the same Sharding of.
func (s *Sharding) Seed() [4]uint64 { return s.seed }

// Workers returns over how many workers flows are dealt out.
func (s *Sharding) Workers() int { return int(s.n) }

// sharded are the protocols whose flows are dealt out: those of which keys have
// ports. All others have too little that tells flows apart, and source
// translation nothing to choose, so that they are worker 0's.
var sharded = [256]bool{hdr.ProtoTCP: true, hdr.ProtoUDP: true, hdr.ProtoSCTP: true, hdr.ProtoICMP: true, hdr.ProtoICMPv6: true}

// Of4 returns the worker that flows with a key belong to.
func (s *Sharding) Of4(k Key4) int {
	if !sharded[k.Proto()] {
		return 0
	}
	// A product is the same in either order.
	src, dst := k.addrs>>32<<16|k.rest>>48, k.addrs<<32>>16|k.rest<<16>>48
	return s.of(mum(src^s.seed[0], dst^s.seed[0]), k.rest)
}

// Of6 is Of4 for IPv6.
func (s *Sharding) Of6(k *Key6) int {
	if !sharded[k.Proto()] {
		return 0
	}
	src := mum(k.src.Hi^s.seed[0], k.src.Lo^s.seed[1]) ^ k.rest>>48
	dst := mum(k.dst.Hi^s.seed[0], k.dst.Lo^s.seed[1]) ^ k.rest<<16>>48
	return s.of(mum(src^s.seed[2], dst^s.seed[2]), k.rest)
}

// OfVector4 sets out[i] to what Of4 returns for keys[i]; there are at most 256
// workers. out has at least the length of keys.
func (s *Sharding) OfVector4(keys []Key4, out []uint8) {
	out = out[:len(keys)]
	for i, k := range keys {
		owner := 0
		if sharded[k.Proto()] {
			src, dst := k.addrs>>32<<16|k.rest>>48, k.addrs<<32>>16|k.rest<<16>>48
			owner = s.of(mum(src^s.seed[0], dst^s.seed[0]), k.rest)
		}
		out[i] = uint8(owner)
	}
}

// OfVector6 is OfVector4 for IPv6.
func (s *Sharding) OfVector6(keys []Key6, out []uint8) {
	out = out[:len(keys)]
	for i := range keys {
		out[i] = uint8(s.Of6(&keys[i]))
	}
}

// of scales the hash of both ends, in any order, and of protocol and zone.
func (s *Sharding) of(ends, rest uint64) int {
	h := mum(ends^s.seed[1], rest&0xffffffff^s.seed[3])
	return int(h >> 32 * uint64(s.n) >> 32)
}

// OfFragment returns the worker where fragments of a packet meet, so that they
// learn its ports: before that nobody knows whose flow the later ones are of.
func (s *Sharding) OfFragment(k *FragKey) int {
	// Identifications follow each other, and of some seeds the upper bits of so
	// near hashes would leave workers out.
	h := mum(s.seed.hash6(&Key6{k.src, k.dst, k.rest})^s.seed[1], s.seed[3])
	return int(h >> 32 * uint64(s.n) >> 32)
}
