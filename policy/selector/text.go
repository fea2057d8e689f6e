package selector

import "strings"

// String writes the selector. Equal texts mean equal selectors, and Parse reads
// it back.
func (s *Selector) String() string { return s.text }

// words between a label and its value.
var words = [...]string{
	opEqual: " == ", opNotEqual: " != ", opIn: " in ", opNotIn: " not in ",
	opContains: " contains ", opStarts: " starts with ", opEnds: " ends with ",
}

func (n node) String() string {
	switch n.op {
	case opAll:
		return "all()"
	case opGlobal:
		return "global()"
	case opHas:
		return "has(" + n.key + ")"
	case opNot:
		return "!" + n.kids[0].inside(opNot)
	case opAnd:
		return n.joined(" && ")
	case opOr:
		return n.joined(" || ")
	case opIn, opNotIn:
		quoted := make([]string, len(n.values))
		for i, v := range n.values {
			quoted[i] = quote(v)
		}
		return n.key + words[n.op] + "{" + strings.Join(quoted, ", ") + "}"
	}
	return n.key + words[n.op] + quote(n.values[0])
}

func (n node) joined(by string) string {
	parts := make([]string, len(n.kids))
	for i, k := range n.kids {
		parts[i] = k.inside(n.op)
	}
	return strings.Join(parts, by)
}

// inside writes n as part of an operation, in parentheses where that binds
// closer.
func (n node) inside(outer op) string {
	text := n.String()
	switch {
	case n.op == opAnd && outer == opOr, n.op < opNot && outer != opNot:
		return text
	case n.op == opAll, n.op == opGlobal, n.op == opHas, n.op == opNot:
		return text
	}
	return "(" + text + ")"
}

// quote puts a value in quotes that it does not contain. None contains both: it
// was in quotes when it was read, and Kubernetes' labels contain none.
func quote(v string) string {
	if strings.Contains(v, "'") {
		return `"` + v + `"`
	}
	return "'" + v + "'"
}
