// Package selector answers one question: does this set of labels match that
// expression?
//
// The language is Calico's (projectcalico.org/v3, selectors); Kubernetes' label
// selectors are built from its parts. A Selector never changes and has one
// text, so equal selectors can share what is worked out for them. Anchors tell
// an index which labels a match cannot do without.
//
// Maturity: complete for the language, and checked against a slow evaluator.
package selector

import (
	"slices"
	"strings"
)

// NamespaceLabel is the label by which Calico knows the namespace of what has
// one. global() matches what does not have it.
const NamespaceLabel = "projectcalico.org/namespace"

// A Selector is an expression on labels.
type Selector struct {
	root node
	text string
}

type op uint8

const (
	opAll op = iota
	opGlobal
	opHas
	opEqual
	opNotEqual
	opIn
	opNotIn
	opContains
	opStarts
	opEnds
	opNot
	opAnd
	opOr
)

// A node is an operation with its key and values, or with what it joins.
type node struct {
	op     op
	key    string
	values []string // sorted for opIn and opNotIn, else one
	kids   []node
}

func make1(n node) *Selector { return &Selector{root: n, text: n.String()} }

// All returns the selector that matches everything.
func All() *Selector { return make1(node{op: opAll}) }

// Has returns the selector of what has a label.
func Has(key string) *Selector { return make1(node{op: opHas, key: key}) }

// Equal returns the selector of what has a label with this value.
func Equal(key, value string) *Selector {
	return make1(node{op: opEqual, key: key, values: []string{value}})
}

// In returns the selector of what has a label with one of these values.
func In(key string, values ...string) *Selector {
	return make1(node{op: opIn, key: key, values: sorted(values)})
}

// NotIn returns the selector of what has none of these values at a label, or no
// such label.
func NotIn(key string, values ...string) *Selector {
	return make1(node{op: opNotIn, key: key, values: sorted(values)})
}

// Not returns the selector of what s does not match.
func Not(s *Selector) *Selector { return make1(node{op: opNot, kids: []node{s.root}}) }

// And returns the selector of what all of these match. All is left out, and so
// is what is there already.
func And(all ...*Selector) *Selector {
	var kids []node
	for _, s := range all {
		kids = append(kids, s.root)
	}
	return make1(and(kids))
}

func sorted(values []string) []string {
	v := slices.Clone(values)
	slices.Sort(v)
	return slices.Compact(v)
}

// and joins nodes; those that are conjunctions themselves become part of it.
func and(kids []node) node {
	var flat []node
	seen := map[string]bool{}
	add := func(n node) {
		if text := n.String(); n.op != opAll && !seen[text] {
			seen[text] = true
			flat = append(flat, n)
		}
	}
	for _, k := range kids {
		if k.op != opAnd {
			add(k)
			continue
		}
		for _, inner := range k.kids {
			add(inner)
		}
	}
	return join(opAnd, flat)
}

func or(kids []node) node {
	var flat []node
	for _, k := range kids {
		if k.op == opOr {
			flat = append(flat, k.kids...)
		} else {
			flat = append(flat, k)
		}
	}
	return join(opOr, flat)
}

func join(o op, kids []node) node {
	switch len(kids) {
	case 0:
		return node{op: opAll}
	case 1:
		return kids[0]
	}
	return node{op: o, kids: kids}
}

// Inherited returns the selector s, which is about what endpoints inherit from,
// as one about the labels of the endpoints. These have the prefix. all() means
// all that have the label that names whom they inherit from.
func (s *Selector) Inherited(prefix, label string) *Selector {
	return make1(s.root.rename(func(n node) node {
		switch n.op {
		case opAll:
			return node{op: opHas, key: label}
		case opGlobal:
			return n
		}
		n.key = prefix + n.key
		return n
	}))
}

// rename returns a copy of n with its leaves changed.
func (n node) rename(change func(node) node) node {
	if len(n.kids) == 0 {
		return change(n)
	}
	kids := make([]node, len(n.kids))
	for i, k := range n.kids {
		kids[i] = k.rename(change)
	}
	n.kids = kids
	return n
}

// IsAll reports whether s is all().
func (s *Selector) IsAll() bool { return s.root.op == opAll }

// Match reports whether labels fulfill s.
func (s *Selector) Match(labels map[string]string) bool { return s.root.match(labels) }

func (n *node) match(labels map[string]string) bool {
	switch n.op {
	case opAll:
		return true
	case opNot:
		return !n.kids[0].match(labels)
	case opAnd:
		for i := range n.kids {
			if !n.kids[i].match(labels) {
				return false
			}
		}
		return true
	case opOr:
		for i := range n.kids {
			if n.kids[i].match(labels) {
				return true
			}
		}
		return false
	}
	return n.matchLabel(labels)
}

func (n *node) matchLabel(labels map[string]string) bool {
	if n.op == opGlobal {
		_, has := labels[NamespaceLabel]
		return !has
	}
	value, has := labels[n.key]
	switch n.op {
	case opHas:
		return has
	case opEqual:
		return has && value == n.values[0]
	case opNotEqual:
		return !has || value != n.values[0]
	case opIn, opNotIn:
		if has {
			_, has = slices.BinarySearch(n.values, value)
		}
		return has == (n.op == opIn)
	case opContains:
		return has && strings.Contains(value, n.values[0])
	case opStarts:
		return has && strings.HasPrefix(value, n.values[0])
	case opEnds:
		return has && strings.HasSuffix(value, n.values[0])
	}
	return false
}
