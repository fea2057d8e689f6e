package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// destination6 does what the destination of a packet has to do with its
// extension headers (RFC 8200, section 4): refuse what it does not know. It
// returns the arc by which the packet leaves ip6-local then, with the error in
// Meta, and 0 if nothing is wrong. Options for each hop are passed over here
// too: whoever reads none need not know them (RFC 9673, section 5).
//
// The chain is sound, as ip6-extensions has seen.
func destination6(b *buf.Buffer) graph.Arc {
	p := b.Bytes()
	next, nextAt, at := p[6], 6, hdr.IPv6Len
	for hdr.IsExt(next) {
		h := (*hdr.Ext)(p[at:])
		size := h.Len(next)
		switch next {
		case hdr.ProtoHopByHop:
		case hdr.ProtoFragment:
			if f := (*hdr.Fragment)(h); f.Offset() != 0 || f.More() {
				return localFragment
			}
		case hdr.ProtoDstOpts:
			if arc := options6(b, p[at:at+size], at); arc != 0 {
				return arc
			}
		case hdr.ProtoRouting:
			// Of all types none is known (section 4.4).
			if _, left := h.Routing(); left != 0 {
				b.Meta = icmpError(hdr.ICMP6ParamProblem, hdr.ICMP6ErroneousHeader, uint16(at+2))
				return localRouting
			}
		default: // AH, mobility, HIP, shim6: others may step over them
			b.Meta = icmpError(hdr.ICMP6ParamProblem, hdr.ICMP6UnknownNext, uint16(nextAt))
			return localProto
		}
		next, nextAt, at = h.NextHeader(), at, at+size
	}
	return 0
}

// options6 looks at the destination options in header h, which begins at a
// place in the packet, and does with those that are not padding, which are
// all unknown, what they want done (RFC 8200, section 4.2).
func options6(b *buf.Buffer, h []byte, at int) graph.Arc {
	const pad1, skip, discard = 0, 0, 1
	for i := 2; i < len(h); {
		if h[i] == pad1 {
			i++
			continue
		}
		if i+1 == len(h) || i+2+int(h[i+1]) > len(h) {
			return localDiscard // it does not end within the header
		}
		switch h[i] >> 6 {
		case skip: // PadN is such a one too
		case discard:
			return localDiscard
		default:
			b.Meta = icmpError(hdr.ICMP6ParamProblem, hdr.ICMP6UnknownOption, uint16(at+i))
			return localOption
		}
		i += 2 + int(h[i+1])
	}
	return 0
}
