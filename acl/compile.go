package acl

import (
	"fmt"
	"slices"
)

// A compiler makes the engines of a Program.
type compiler struct {
	rules []*Rule
	store *Store
	ports []bool            // by rule: it needs a packet with ports
	sets  map[string]setRef // the sets that rules name
}

// A setRef is what a Program knows of a set.
type setRef struct {
	number uint32
	kind   Kind
}

// resolve looks up the sets that rules name.
func (c *compiler) resolve(refs []Ref) error {
	c.ports, c.sets = make([]bool, len(c.rules)), map[string]setRef{}
	for i, r := range c.rules {
		if err := c.resolveRule(i, r); err != nil {
			return fmt.Errorf("acl: tier %q: policy %q: rule %d: %w", refs[i].Tier, refs[i].Policy, refs[i].Index, err)
		}
	}
	return nil
}

func (c *compiler) resolveRule(i int, r *Rule) error {
	c.ports[i] = r.Src.hasPorts() || r.Dst.hasPorts()
	for _, s := range []*Side{&r.Src, &r.Dst} {
		for at, names := range [][]string{s.Sets, s.NotSets, s.NamedPorts, s.NotNamedPorts} {
			for _, name := range names {
				kind, err := c.resolveSet(name)
				if err != nil {
					return err
				}
				if at >= 2 && kind != NetPorts {
					return fmt.Errorf("set %q: its members have no ports: %w", name, ErrInvalid)
				}
				c.ports[i] = c.ports[i] || kind == NetPorts
			}
		}
	}
	if c.ports[i] && (r.ICMP != nil || r.NotICMP != nil || r.Proto != 0 && !hasPorts(r.Proto)) {
		return fmt.Errorf("sets with ports, and a packet without: %w", ErrInvalid)
	}
	return nil
}

func (c *compiler) resolveSet(name string) (Kind, error) {
	if c.store == nil {
		return 0, fmt.Errorf("set %q: %w", name, ErrUnknown)
	}
	s, err := c.store.set(name)
	if err != nil {
		return 0, err
	}
	c.sets[name] = setRef{s.number, s.kind}
	return s.kind, nil
}

// engine returns the engine for one family.
func (c *compiler) engine(v6 bool) (engine, error) {
	m := newVectorMaker(len(c.rules))
	e := engine{}
	e.src = m.sweep(netSpans(m, c.rules, v6, (*Rule).src))
	e.dst = m.sweep(netSpans(m, c.rules, v6, (*Rule).dst))
	e.l4 = m.sweep(c.l4Spans(m, v6))
	e.depth = max(e.src.depth, e.dst.depth, e.l4.depth)
	e.extras = append(c.extras(m, (*Rule).src, false), c.extras(m, (*Rule).dst, true)...)
	slices.SortStableFunc(e.extras, func(a, b extra) int { return a.cost() - b.cost() })
	for _, y := range e.extras {
		switch {
		case len(y.sets.slots) == 0:
		case y.dst:
			e.sides |= toSets
		default:
			e.sides |= fromSets
		}
	}
	if len(e.extras) > 0 {
		e.asks = c.asks()
	}
	if len(m.blocks) > maxValue || len(m.records) > maxValue {
		return engine{}, fmt.Errorf("acl: %d rules: too many kinds of packets: %w", len(c.rules), ErrInvalid)
	}
	e.vectors = m.vectors
	return e, nil
}

func (r *Rule) src() *Side { return &r.Src }
func (r *Rule) dst() *Side { return &r.Dst }

// l4Spans returns what sweep needs for protocols, destination ports and ICMP.
func (c *compiler) l4Spans(m *vectorMaker, v6 bool) (any *bitset, spans []span) {
	any = m.bitset()
	for i, r := range c.rules {
		switch {
		case !r.applies(v6):
		case r.Proto == 0 && r.NotProto == 0 && r.ICMP == nil && r.NotICMP == nil && !c.ports[i]:
			any.flip(i)
		default:
			spans = append(spans, l4Spans(r, i, v6, c.ports[i])...)
		}
	}
	return any, spans
}
