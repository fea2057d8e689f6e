package session

import (
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

// What has been seen of a direction, as four bits; a session's byte has those
// of the forward direction below and those of the reverse one above. The class
// follows from them alone (classOf), so a table from a file needs no trust in
// more than them.
const (
	sawSyn = 1 << iota
	sawAck // TCP: a segment with ACK; other protocols: any packet
	sawFin
	sawRst

	bothSyn = sawSyn | sawSyn<<4
	bothAck = sawAck | sawAck<<4
	bothFin = sawFin | sawFin<<4
	anyRst  = sawRst | sawRst<<4
)

const tcpControl = hdr.TCPSyn | hdr.TCPFin | hdr.TCPRst

// opening returns what has been seen of a session after its first packet, and
// whether that packet may open one.
func opening(proto, tcp uint8, midstream bool) (seen uint8, ok bool) {
	if proto != hdr.ProtoTCP {
		return sawAck, true
	}
	switch {
	case tcp&(tcpControl|hdr.TCPAck) == hdr.TCPSyn:
		return sawSyn, true
	case !midstream || tcp&hdr.TCPRst != 0 || tcp&hdr.TCPAck == 0 || tcp&(hdr.TCPSyn|hdr.TCPFin) == hdr.TCPSyn|hdr.TCPFin:
		return 0, false
	case tcp&hdr.TCPFin != 0:
		return bothSyn | sawAck | sawFin, true
	}
	return bothSyn | sawAck, true // the handshake is taken for granted, not the answer
}

// classOf returns the class of a session.
func classOf(proto, seen uint8) Class {
	replied := Class(seen >> 5 & 1) // sawAck in reverse
	switch proto {
	case hdr.ProtoTCP:
		return classTCP(seen)
	case hdr.ProtoUDP:
		return UDPUnreplied + replied
	case hdr.ProtoICMP, hdr.ProtoICMPv6:
		return ICMPUnreplied + replied
	}
	return OtherUnreplied + replied
}

// next returns the class after c of the same protocol.
func (c Class) next(seen uint8) Class {
	if c <= TCPClosing {
		return classTCP(seen)
	}
	unreplied := (c-UDPUnreplied)&^1 + UDPUnreplied // they come in pairs
	return unreplied + Class(seen>>5&1)
}

func classTCP(seen uint8) Class {
	switch {
	case seen&anyRst != 0 || seen&bothFin == bothFin:
		return TCPClosing
	case seen&(bothSyn|bothAck) != bothSyn|bothAck:
		return TCPHalfOpen
	case seen&bothFin != 0:
		return TCPHalfClosed
	}
	return TCPEstablished
}

// An Event is what a packet has changed about its session.
type Event uint8

const (
	NoEvent      Event = iota
	ClassChanged       // the session is of another class now
	Reopened           // a new connection between the same ends: judge it again
	// Stale: the packet opens a new connection from the other end of an old
	// one. It was not counted: delete the session and insert one for it.
	Stale
)

// steady are the classes that only a TCP control bit can end.
const steady = 1<<TCPEstablished | 1<<TCPHalfClosed | 1<<UDPReplied | 1<<ICMPReplied | 1<<OtherReplied

// Seen counts packets of a session and takes note of their time and of what a
// TCP header's flags say; tcp is 0 for other protocols. packets is more than 1
// for a superpacket, bytes are as many as the caller counts. It is called for
// packets that pass: what was dropped tells nothing.
//
// Sequence numbers and windows are not looked at: what both ends accept is for
// them to say, and a table that had to know could not take connections over.
func (t *Table) Seen(r Ref, packets, bytes uint32, tcp uint8, now uint32) Event {
	s, event := &t.records[r.Index()], NoEvent
	if tcp&tcpControl != 0 || steady>>s.class&1 == 0 {
		if event = t.step(r, s, tcp, now); event == Stale {
			return Stale
		}
	}
	dir := r.Dir()
	m := &t.rests[r.Index()]
	n := uint32(s.packets[dir]) + packets
	s.packets[dir] = uint16(n)
	m.packets[dir] += uint16(n >> 16)
	sum, carry := bits.Add32(s.bytes[dir], bytes, 0)
	s.bytes[dir] = sum
	m.bytes[dir] += uint16(carry) // once in 4 GiB
	s.Last = now
	return event
}

// SeenSteady is Seen for packets of s, in direction dir, that can't change
// anything but the counters. It reports false, and has counted nothing, for all
// others. It is inlined, so that the usual packet costs no call.
func (s *Session) SeenSteady(dir, packets, bytes uint32, tcp uint8, now uint32) bool {
	sum, n := s.bytes[dir&1]+bytes, uint32(s.packets[dir&1])+packets
	if tcp&tcpControl != 0 || uint32(steady)>>(s.class&31)&1 == 0 || sum < bytes || n > 0xffff {
		return false
	}
	s.packets[dir&1] = uint16(n)
	s.bytes[dir&1] = sum
	s.Last = now
	return true
}

// step is Seen for packets that may change the class.
func (t *Table) step(r Ref, s *Session, tcp uint8, now uint32) Event {
	event := NoEvent
	if s.class <= TCPClosing {
		if s.seen, event = stepTCP(s.seen, r.Dir(), tcp); event == Reopened {
			s.Gen, s.Verdict = 0, Undecided
		}
	} else {
		s.seen |= sawAck << (4 * r.Dir())
	}
	if class := s.class.next(s.seen); class != s.class {
		t.setClass(r.Index(), s, class, now)
		event = max(event, ClassChanged)
	}
	return event
}

// stepTCP is what a segment changes (RFC 6146, section 3.5.2.2, without its
// sides: who has opened matters, not who is inside).
func stepTCP(seen uint8, dir uint32, tcp uint8) (uint8, Event) {
	shift := 4 * dir
	mine := seen >> shift & 0xf
	switch {
	case tcp&hdr.TCPRst != 0:
		mine |= sawRst
	case tcp&(hdr.TCPSyn|hdr.TCPAck) == hdr.TCPSyn:
		switch classTCP(seen) {
		case TCPClosing:
			if dir == Forward {
				return sawSyn, Reopened
			}
			return seen, Stale
		case TCPHalfOpen: // again, or both ends at once (RFC 9293, section 3.5)
			mine |= sawSyn
		}
		// Established: the other end says whether it is one (RFC 5961, section 4).
	case tcp&hdr.TCPAck != 0:
		mine |= sawAck
		if tcp&hdr.TCPSyn != 0 {
			mine |= sawSyn
		}
		if tcp&hdr.TCPFin != 0 {
			mine |= sawFin
		}
		// Who goes on after a reset has not sent it: it was forged, or too old
		// for the other end. RFC 6146 takes any packet for that sign; but those
		// of the other end may have been on their way already.
		if seen&bothAck == bothAck {
			mine &^= sawRst
		}
	}
	return seen&^(0xf<<shift) | mine<<shift, NoEvent
}

func (t *Table) setClass(i uint32, s *Session, class Class, now uint32) {
	o := &t.owners[s.owner]
	switch was, is := s.class.halfOpen(), class.halfOpen(); {
	case was && !is:
		o.halfOpen--
	case is && !was:
		o.halfOpen++
	}
	switch was, is := s.class.soft(), class.soft(); {
	case was && !is:
		t.soft.remove(i)
		t.stats.Soft--
	case is && !was:
		t.soft.add(i)
		t.stats.Soft++
	}
	s.class = class
	if at := now + t.timeouts[class]; at < t.due[i] {
		t.arm(i, at)
	}
}
