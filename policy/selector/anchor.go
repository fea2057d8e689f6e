package selector

// A Pair is a label with its value.
type Pair struct{ Key, Value string }

// Anchors returns labels of which whatever s matches has at least one, and true;
// false if there are no such labels: all() has none, nor has key != 'value'.
// Where there is a choice it takes the labels whose cost is lowest, such as the
// number of things that have the label.
func (s *Selector) Anchors(cost func(Pair) int) ([]Pair, bool) {
	pairs, _, ok := s.root.anchors(cost)
	return pairs, ok
}

func (n *node) anchors(cost func(Pair) int) (pairs []Pair, sum int, ok bool) {
	switch n.op {
	case opEqual, opIn:
		for _, v := range n.values {
			pairs = append(pairs, Pair{n.key, v})
			sum += cost(Pair{n.key, v})
		}
		return pairs, sum, true
	case opAnd:
		for i := range n.kids {
			if p, c, has := n.kids[i].anchors(cost); has && (!ok || c < sum) {
				pairs, sum, ok = p, c, true
			}
		}
		return pairs, sum, ok
	case opOr:
		for i := range n.kids {
			p, c, has := n.kids[i].anchors(cost)
			if !has {
				return nil, 0, false
			}
			pairs, sum = append(pairs, p...), sum+c
		}
		return pairs, sum, true
	}
	return nil, 0, false
}
