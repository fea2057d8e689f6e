package session

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

// RecordLen is the number of bytes of a Session.
const RecordLen = 96

// A Session is one flow in both directions and what was decided about it. It
// lies in the table's memory outside the Go heap, and, byte by byte, in the
// table's file:
//
//	 0  key forward, 16       | key in reverse, 16        |  IPv4
//	 0  source address, 16    | destination address, 16   |  IPv6
//	32  ports, zone, protocol of IPv6, 8                  |
//	40  check                 | peer                      |
//	48  last seen             | generation                |
//	56  seen | class | verdict | kind | owner | flags     |
//	64  data forward          | data in reverse           |
//	72  packets forward       | packets in reverse        |
//	80  bytes forward, 8      | bytes in reverse, 8       |
//
// A session has two keys, one for each direction: the reverse one is not the
// forward one swapped if addresses or ports are translated. A packet of one
// direction leaves with the other direction's key, swapped; so the keys are
// all that a translation needs (see Out4).
//
// An IPv6 session that is translated takes a second record for its reverse
// key; others take one.
type Session struct {
	tuple [5]uint64
	// check is the commit word: 0 in a free record, else made of the hashes of
	// both keys. It is written last when a session is made and cleared first
	// when it is removed, so that a file found after a kill at any instruction
	// holds whole sessions and nothing else.
	check uint32
	peer  uint32 // translated IPv6: the record with the reverse key, and from there back

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
	Flags   uint16    // the caller's, for the session's life
	Data    [2]uint32 // the caller's, for each direction: an adjacency, a rule
	// Packets are those of each direction, modulo 2^32: an hour at 1 Mpps.
	Packets [2]uint32
	Bytes   [2]uint64 // of each direction, as the caller counts them
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

// Proto returns the IP protocol.
func (s *Session) Proto() uint8 { return uint8(s.rest() >> 8) }

// Zone returns the zone of the session's keys.
func (s *Session) Zone() uint16 { return uint16(s.rest() >> 16) }

func (s *Session) rest() uint64 {
	if s.kind == kind4 {
		return s.tuple[1]
	}
	return s.tuple[4]
}

func (s *Session) set4(fwd, rev Key4) {
	s.tuple = [5]uint64{fwd.addrs, fwd.rest, rev.addrs, rev.rest, 0}
}

func (s *Session) key4(dir uint32) Key4 {
	at := dir & 1 * 2
	return Key4{s.tuple[at], s.tuple[at+1]}
}

func (s *Session) set6(k *Key6) {
	s.tuple = [5]uint64{k.src.Hi, k.src.Lo, k.dst.Hi, k.dst.Lo, k.rest}
}

func (s *Session) key6() (k Key6) {
	k.src.Hi, k.src.Lo, k.dst.Hi, k.dst.Lo, k.rest = s.tuple[0], s.tuple[1], s.tuple[2], s.tuple[3], s.tuple[4]
	return k
}

func (s *Session) is6(k *Key6) bool {
	return s.tuple[0] == k.src.Hi && s.tuple[1] == k.src.Lo && s.tuple[2] == k.dst.Hi && s.tuple[3] == k.dst.Lo &&
		s.tuple[4] == k.rest
}
