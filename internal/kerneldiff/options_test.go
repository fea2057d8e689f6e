package kerneldiff

import (
	"bytes"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// Options of IPv4 (IANA, IP Option Numbers).
const (
	optEnd         = 0
	optNop         = 1
	optRecordRoute = 7
	optTimestamp   = 68
	optLSRR        = 131
	optCIPSO       = 134
	optSSRR        = 137
	optAlert       = 148
)

// An option is one of a header, with where it begins in the packet.
type option struct {
	kind  byte
	at    int
	bytes []byte
}

// options returns those of a header, without padding, up to one that does not
// add up.
func options(p []byte) (all []option) {
	end := min((*hdr.IPv4)(p).HeaderLen(), len(p))
	for at := hdr.IPv4Len; at < end && p[at] != optEnd; {
		if p[at] == optNop {
			at++
			continue
		}
		if at+1 == end || p[at+1] < 2 || at+int(p[at+1]) > end {
			return append(all, option{p[at], at, p[at:end]}) // it does not add up
		}
		all = append(all, option{p[at], at, p[at : at+int(p[at+1])]})
		at += int(p[at+1])
	}
	return all
}

// has reports whether the packet has an option of one of the kinds.
func (x *trial) has(kinds ...byte) bool {
	if x.h4 == nil || x.h4.HeaderLen() <= hdr.IPv4Len || x.h4.HeaderLen() > len(x.packet) {
		return false
	}
	for _, o := range options(x.packet) {
		if bytes.IndexByte(kinds, o.kind) >= 0 {
			return true
		}
	}
	return false
}

// wrong reports whether Linux refuses an option for what is in it.
func (o option) wrong() bool {
	n := len(o.bytes)
	room := func(least, bytes int) bool {
		ptr := int(o.bytes[2])
		return ptr >= least && (ptr > n || ptr+bytes-1 <= n)
	}
	switch o.kind {
	case optRecordRoute:
		return n < 3 || !room(4, 4)
	case optTimestamp:
		if n < 4 || o.bytes[2] < 5 || int(o.bytes[2]) > n && o.bytes[3]>>4 == 15 {
			return true
		}
		if flag := o.bytes[3] & 15; flag == 1 || flag == 3 { // with addresses
			return !room(5, 8)
		}
		return !room(5, 4)
	case optAlert:
		return n < 4
	}
	return false
}

// refused reports whether an outcome is the one to an option of one of the
// kinds that is wrong: a parameter problem with a pointer into it, or nothing
// where nobody is told.
func (x *trial) refused(out []frame, kinds ...byte) bool {
	if len(out) == 0 && x.has(kinds...) {
		var seen [256]bool
		return slices.ContainsFunc(options(x.packet), func(o option) bool {
			twice := seen[o.kind]
			seen[o.kind] = true
			return bytes.IndexByte(kinds, o.kind) >= 0 && (twice || o.wrong())
		})
	}
	return x.pointsInto(out, kinds...)
}

// pointsInto reports whether an outcome is a parameter problem whose pointer is
// into an option of one of the kinds.
func (x *trial) pointsInto(out []frame, kinds ...byte) bool {
	if !isError(out, hdr.ICMPParamProblem, 0) {
		return false
	}
	at := int(answer(out[0]).body[4])
	for _, o := range options(x.packet) {
		if at >= o.at && at < o.at+len(o.bytes) {
			return bytes.IndexByte(kinds, o.kind) >= 0
		}
	}
	return false
}

// plainOptions takes out of the headers of an outcome what a router may write
// there: the contents of record route and timestamp; and of own messages and
// of fragments but the first all options. Checksums, and of own messages what
// did fit behind the longest header only, go with them.
func plainOptions(out []frame) []frame {
	for i, f := range out {
		p := f.bytes[hdr.EtherLen:]
		h := (*hdr.IPv4)(p)
		if h.Version() != 4 || h.HeaderLen() > len(p) {
			continue
		}
		m := answer(f)
		unwritten(p)
		if h.HeaderLen() > hdr.IPv4Len && (m != nil || h.Frag()&hdr.FragOffset != 0) {
			n := h.Len() - h.HeaderLen() + hdr.IPv4Len
			p = append(p[:hdr.IPv4Len:hdr.IPv4Len], p[h.HeaderLen():]...)
			h = (*hdr.IPv4)(p)
			h[0] = 0x45
			h.SetLen(n)
		}
		if m != nil && m.body[0] != hdr.ICMPEchoReply {
			p = p[:min(len(p), 576-40)]
			(*hdr.IPv4)(p).SetLen(len(p))
			p[22], p[23] = 0, 0
			unwritten(p[min(hdr.IPv4Len+hdr.ICMPLen, len(p)):])
		}
		out[i].bytes = append(f.bytes[:hdr.EtherLen:hdr.EtherLen], p...)
	}
	return out
}

// unwritten clears what routers write into a header: the contents of record
// route and timestamp, what stands behind the end of the options, and the
// checksum.
func unwritten(p []byte) {
	if len(p) < hdr.IPv4Len {
		return
	}
	end := hdr.IPv4Len
	for _, o := range options(p) {
		end = o.at + len(o.bytes)
		if o.kind == optRecordRoute || o.kind == optTimestamp {
			clear(o.bytes[min(2, len(o.bytes)):])
		}
	}
	if n := min(max((*hdr.IPv4)(p).HeaderLen(), end), len(p)); bytes.IndexByte(p[end:n], optEnd) >= 0 {
		clear(p[end:n])
	}
	(*hdr.IPv4)(p).SetChecksum(0)
}
