package session_test

import (
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// A twin is a table in Go maps, written to be read: what is open is a set of
// words and not of bits, and every question is answered by looking at all.
type twin struct {
	sessions map[uint32]*flow // by the index that the table chose
	byKey    map[any]session.Ref
	quota    map[uint16]session.Quota
	timeouts session.Timeouts
	capacity int
}

type flow struct {
	keys    [2]any // Key4 or Key6
	proto   uint8
	owner   uint16
	two     bool // takes two records
	last    uint32
	side    [2]side
	packets [2]uint32
	bytes   [2]uint64
	picked  bool // began in the middle
}

type side struct{ syn, ack, fin, rst, heard bool }

func (f *flow) class() session.Class {
	a, b := f.side[0], f.side[1]
	pick := func(unreplied, replied session.Class) session.Class {
		if b.heard {
			return replied
		}
		return unreplied
	}
	switch f.proto {
	case hdr.ProtoUDP:
		return pick(session.UDPUnreplied, session.UDPReplied)
	case hdr.ProtoICMP, hdr.ProtoICMPv6:
		return pick(session.ICMPUnreplied, session.ICMPReplied)
	case hdr.ProtoTCP:
	default:
		return pick(session.OtherUnreplied, session.OtherReplied)
	}
	handshake := f.picked || a.syn && b.syn
	switch {
	case a.rst || b.rst, a.fin && b.fin:
		return session.TCPClosing
	case !handshake || !a.ack || !b.ack:
		return session.TCPHalfOpen
	case a.fin || b.fin:
		return session.TCPHalfClosed
	}
	return session.TCPEstablished
}

// packet is what the twin makes of a packet in direction dir.
func (f *flow) packet(dir uint32, bytes uint32, tcp uint8, now uint32) session.Event {
	was := f.class()
	event := session.NoEvent
	if f.proto == hdr.ProtoTCP {
		event = f.segment(dir, tcp)
	}
	if event == session.Stale {
		return event
	}
	f.side[dir].heard = true
	f.packets[dir]++
	f.bytes[dir] += uint64(bytes)
	f.last = now
	if event == session.NoEvent && f.class() != was {
		event = session.ClassChanged
	}
	return event
}

func (f *flow) segment(dir uint32, tcp uint8) session.Event {
	mine := &f.side[dir]
	has := func(flag uint8) bool { return tcp&flag != 0 }
	if has(hdr.TCPRst) {
		mine.rst = true
		return session.NoEvent
	}
	if has(hdr.TCPSyn) && !has(hdr.TCPAck) {
		switch class := f.class(); {
		case class == session.TCPClosing && dir == 0:
			*f = flow{keys: f.keys, proto: f.proto, owner: f.owner, two: f.two, packets: f.packets, bytes: f.bytes}
			f.side[0].syn = true
			return session.Reopened
		case class == session.TCPClosing:
			return session.Stale
		case class == session.TCPHalfOpen:
			mine.syn = true
		}
		return session.NoEvent
	}
	if !has(hdr.TCPAck) {
		return session.NoEvent
	}
	if f.side[0].ack && f.side[1].ack {
		mine.rst = false
	}
	mine.ack = true
	mine.syn = mine.syn || has(hdr.TCPSyn)
	mine.fin = mine.fin || has(hdr.TCPFin)
	return session.NoEvent
}

func (w *twin) remove(i uint32) {
	f := w.sessions[i]
	delete(w.byKey, f.keys[0])
	delete(w.byKey, f.keys[1])
	delete(w.sessions, i)
}

func (w *twin) records() (n int) {
	for _, f := range w.sessions {
		n++
		if f.two {
			n++
		}
	}
	return n
}

func soft(c session.Class) bool { return c == session.TCPClosing || half(c) }

func half(c session.Class) bool {
	return c == session.TCPHalfOpen || c == session.UDPUnreplied || c == session.ICMPUnreplied || c == session.OtherUnreplied
}

// count returns how many sessions of an owner there are, and of what kinds.
func (w *twin) count(owner uint16) (all, halfOpen, softOnes int) {
	for _, f := range w.sessions {
		if f.owner != owner {
			continue
		}
		all++
		if half(f.class()) {
			halfOpen++
		}
		if soft(f.class()) {
			softOnes++
		}
	}
	return all, halfOpen, softOnes
}
