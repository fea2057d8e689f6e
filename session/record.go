package session

import (
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

// A Ref says which session a packet is of and in which direction it goes:
//
//	| index of the session, 31 | direction, 1 |
//
// Ref 0 is no session. It fits buf.Buffer.Flow. It holds until the session is
// removed, so not beyond the sweep in which it was found.
type Ref uint32

// Index returns the session's index in its table, which is never 0.
func (r Ref) Index() uint32 { return uint32(r >> 1) }

// Dir returns Forward or Reverse.
func (r Ref) Dir() uint32 { return uint32(r & 1) }

// Directions: that of the packet that opened the session, and the other.
const (
	Forward = 0
	Reverse = 1
)

// A Verdict is what was decided about a session.
type Verdict uint8

const (
	Undecided Verdict = iota // nobody has judged it: do, and drop until then
	Allow
	Deny
)

// RecordLen is the number of bytes of a record, both parts of it.
const RecordLen = sessionLen + moreLen

const (
	sessionLen = 64
	moreLen    = 32
)

// A Session is one flow in both directions and what was decided about it. It
// lies in the table's memory outside the Go heap, and in the table's file, in
// two parts. A Session is the part that packets need, and fills one cache line:
//
//	 0  key forward, 16                | key in reverse, 16               |  IPv4
//	 0  source address, 16             | destination address, 16          |  IPv6
//	32  last seen                      | generation                       |
//	40  seen | class | verdict | kind  | owner, 2         | flags, 2      |
//	48  packets, low halves, 2 and 2   | route forward, 2 | in reverse, 2 |
//	56  bytes forward, low part        | bytes in reverse, low part       |
//
// A second line for each packet would cost as much as all the rest of a lookup
// once there are more sessions than fit the caches (BenchmarkFindVector4).
//
// A session has two keys, one for each direction: the reverse one is not the
// forward one swapped if addresses or ports are translated. A packet of one
// direction leaves with the other direction's key, swapped; so the keys are
// all that a translation needs (see Out4).
//
// An IPv6 session that is translated takes a second record for its reverse
// key; others take one.
type Session struct {
	tuple [4]uint64

	Last uint32 // second in which the last packet was seen, on the clock of Now
	// Gen is the generation of the policy that Verdict and Data are of. Who
	// finds another than the current one judges the session again. 0 is the
	// generation of nothing: a new session has it, a reopened one, and one from
	// a file.
	Gen     uint32
	seen    uint8 // what has been seen of each direction, see track.go
	class   Class
	Verdict Verdict
	kind    kind
	owner   uint16
	Flags   uint16 // the caller's, for the session's life
	packets [2]uint16
	routes  [2]uint16 // see Table.Route
	bytes   [2]uint32
}

// rest is the other part of a record:
//
//	 0  ports, zone, protocol, as in a key, 8                             |  IPv6
//	 8  check                          | peer                             |
//	16  data forward                   | data in reverse                  |
//	24  bytes, high parts, 2 and 2     | packets, high halves, 2 and 2    |
type rest struct {
	key uint64
	// check is the commit word: 0 in a free record, else made of the hashes of
	// both keys. It is written last when a session is made and cleared first
	// when it is removed, so that a file found after a kill at any instruction
	// holds whole sessions and nothing else.
	check uint32
	peer  uint32 // translated IPv6: the record with the reverse key, and from there back
	data  [2]uint32
	bytes [2]uint16

	packets [2]uint16
}

// kind says what a record holds.
type kind uint8

const (
	kindFree kind = iota
	kind4
	kind6    // the reverse key is the forward one swapped
	kind6nat // the reverse key lies in record peer
	kindMore // that record
)

// IsIPv6 reports whether the session is one of IPv6.
func (s *Session) IsIPv6() bool { return s.kind == kind6 || s.kind == kind6nat }

// Owner returns whose quota the session counts against.
func (s *Session) Owner() uint16 { return s.owner }

// Class returns which timeout holds for the session.
func (s *Session) Class() Class { return s.class }

func (s *Session) set4(fwd, rev Key4) {
	s.tuple = [4]uint64{fwd.addrs, fwd.rest, rev.addrs, rev.rest}
}

func (s *Session) key4(dir uint32) Key4 {
	at := dir & 1 * 2
	return Key4{s.tuple[at], s.tuple[at+1]}
}

// Leaves4 returns addresses and ports of a packet of an IPv4 session, in
// direction dir, when it leaves, as the headers have them: the source in the
// high half. They are those of Table.Out4.
func (s *Session) Leaves4(dir uint32) (addrs uint64, ports uint32) {
	at := (dir&1 ^ 1) * 2
	return bits.RotateLeft64(s.tuple[at], 32), bits.RotateLeft32(uint32(s.tuple[at+1]>>32), 16)
}

// Leaves6 is Leaves4 for IPv6: what Table.Out6 has, without a key that is put
// together. Its 40 bytes do not fit registers, and are waited for wherever they are
// moved: 30 ns per packet (BenchmarkSourceNAT6, vectors of 256, Zen 5). It reports
// false, and nothing else, of a session that is not translated.
func (t *Table) Leaves6(r Ref) (src, dst hdr.Addr6, ports uint32, ok bool) {
	i := r.Index()
	m := &t.rests[i]
	if t.records[i].kind != kind6nat {
		return src, dst, 0, false
	}
	if r.Dir() == Forward {
		i = m.peer
	}
	back, ports := &t.records[i].tuple, uint32(t.rests[i].key>>32)
	return hdr.Addr6{Hi: back[2], Lo: back[3]}, hdr.Addr6{Hi: back[0], Lo: back[1]}, bits.RotateLeft32(ports, 16), true
}

func (t *Table) set6(i uint32, k *Key6) {
	t.records[i].tuple = [4]uint64{k.src.Hi, k.src.Lo, k.dst.Hi, k.dst.Lo}
	t.rests[i].key = k.rest
}

func (t *Table) key6(i uint32) Key6 {
	w := &t.records[i].tuple
	return Key6{hdr.Addr6{Hi: w[0], Lo: w[1]}, hdr.Addr6{Hi: w[2], Lo: w[3]}, t.rests[i].key}
}

// holds6 reports whether the key that a record holds is k.
func (t *Table) holds6(i uint32, k *Key6) bool {
	w := &t.records[i].tuple
	return w[0] == k.src.Hi && w[1] == k.src.Lo && w[2] == k.dst.Hi && w[3] == k.dst.Lo && t.rests[i].key == k.rest
}

// Proto returns the IP protocol of a session.
func (t *Table) Proto(i uint32) uint8 { return uint8(t.restOf(i) >> 8) }

// Zone returns the zone of a session's forward key.
func (t *Table) Zone(i uint32) uint16 { return uint16(t.restOf(i) >> 16) }

func (t *Table) restOf(i uint32) uint64 {
	if s := &t.records[i]; s.kind == kind4 {
		return s.tuple[1]
	}
	return t.rests[i].key
}

// Data returns the caller's own word for a session and direction: an
// adjacency, a rule. Like the verdict it is of the generation Gen, and 0 in a
// new session. It is not on the session's cache line.
func (t *Table) Data(r Ref) *uint32 { return &t.rests[r.Index()].data[r.Dir()] }

// Counts are what a session has seen of each direction.
type Counts struct {
	Packets [2]uint32 // modulo 2^32: an hour at 1 Mpps
	Bytes   [2]uint64 // as the caller has counted them, modulo 2^48
}

// Counts returns what a session has seen.
func (t *Table) Counts(i uint32) (c Counts) {
	s, m := &t.records[i], &t.rests[i]
	for d := range c.Bytes {
		c.Packets[d] = uint32(m.packets[d])<<16 | uint32(s.packets[d])
		c.Bytes[d] = uint64(m.bytes[d])<<32 | uint64(s.bytes[d])
	}
	return c
}
