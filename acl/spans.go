package acl

import (
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// prefixSpan returns the addresses of a prefix as numbers: IPv4 as Hi.
func prefixSpan(p netip.Prefix) (first, end hdr.Addr6) {
	p = p.Masked()
	if p.Addr().Is4() {
		a := uint64(hdr.Addr4From(p.Addr()))
		return hdr.Addr6{Hi: a}, hdr.Addr6{Hi: a + 1<<(32-p.Bits())}
	}
	first = hdr.Addr6From(p.Addr())
	end = first
	switch n := p.Bits(); {
	case n == 0:
		return hdr.Addr6{}, hdr.Addr6{}
	case n <= 64:
		end.Hi += 1 << (64 - n)
	default:
		if end.Lo += 1 << (128 - n); end.Lo == 0 {
			end.Hi++
		}
	}
	return first, end
}

// netSpans returns the spans of one side's prefixes, and the rules without.
func netSpans(m *vectorMaker, conds []*Rule, v6 bool, side func(*Rule) *Side) (any *bitset, spans []span) {
	any = m.bitset()
	for i, r := range conds {
		if !r.applies(v6) {
			continue
		}
		s := side(r)
		if len(s.Nets) == 0 {
			any.flip(i)
		}
		for _, list := range []struct {
			nets []netip.Prefix
			not  bool
		}{{s.Nets, false}, {s.NotNets, true}} {
			for _, p := range list.nets {
				if p.Addr().Is4() != v6 {
					first, end := prefixSpan(p)
					spans = append(spans, span{first, end, i, list.not})
				}
			}
		}
	}
	return any, spans
}

// applies reports whether a rule is for packets of a family.
func (r *Rule) applies(v6 bool) bool {
	return r.Family == 0 || r.Family == 6 && v6 || r.Family == 4 && !v6
}

// lineSpan returns a span of numbers of at most 32 bits, both included.
func lineSpan(first, last uint64, rule int, not bool) span {
	return span{hdr.Addr6{Hi: first}, hdr.Addr6{Hi: last + 1}, rule, not}
}

// portSpans returns the spans of a side's ports for a rule: its Ports, or all
// without, but for NotPorts.
func portSpans(s *Side, ports []PortRange, base uint64, rule int) (spans []span) {
	if len(ports) == 0 {
		ports = []PortRange{{0, 65535}}
	}
	for _, p := range ports {
		spans = append(spans, lineSpan(base|uint64(p.First), base|uint64(p.Last), rule, false))
	}
	for _, p := range s.NotPorts {
		spans = append(spans, lineSpan(base|uint64(p.First), base|uint64(p.Last), rule, true))
	}
	return spans
}

// l4Spans returns the spans of l4Key that a rule matches as far as protocol,
// destination ports and ICMP go. Destination ports that a set can stand in for
// are left to the extra of named ports. ports says whether the rule needs a
// packet with ports.
func l4Spans(r *Rule, rule int, v6, ports bool) (spans []span) {
	icmp := r.ICMP != nil || r.NotICMP != nil
	for proto := range uint64(256) {
		p, base := uint8(proto), proto<<protoShift
		if r.Proto != 0 && p != r.Proto || r.NotProto != 0 && p == r.NotProto {
			continue
		}
		switch {
		case ports && hasPorts(p):
			numeric := r.Dst.Ports
			if len(r.Dst.NamedPorts) > 0 {
				numeric = nil
			}
			spans = append(spans, portSpans(&r.Dst, numeric, base, rule)...)
		case icmp && p == icmpProto(v6):
			spans = append(spans, icmpSpans(r, base, rule)...)
		case !ports && !icmp:
			spans = append(spans, lineSpan(base, base|noL4|0xffff, rule, false))
		}
	}
	return spans
}

func icmpSpans(r *Rule, base uint64, rule int) []span {
	all := lineSpan(base, base|0xffff, rule, false)
	spans := []span{all}
	if r.ICMP != nil {
		spans[0] = r.ICMP.span(base, rule, false)
	}
	if r.NotICMP != nil {
		spans = append(spans, r.NotICMP.span(base, rule, true))
	}
	return spans
}

func (c *ICMP) span(base uint64, rule int, not bool) span {
	first := base | uint64(c.Type)<<8
	if c.HasCode {
		return lineSpan(first|uint64(c.Code), first|uint64(c.Code), rule, not)
	}
	return lineSpan(first, first|0xff, rule, not)
}
