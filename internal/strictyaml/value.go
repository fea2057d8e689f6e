package strictyaml

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Value is a node of a document that knows what it is called.
type Value struct {
	node  *yaml.Node
	doc   *Document
	Field string // as in "spec.ports[0].port"
}

// Place returns where the value begins.
func (v Value) Place() Place { return Place{v.doc.file, v.node.Line, v.node.Column, v.doc.number} }

// PlaceIn returns where the n-th byte, from 1, of a text stands, or where the
// text begins if it does not stand in the file as it is.
func (v Value) PlaceIn(n int) Place {
	p := v.Place()
	if strings.Contains(v.node.Value, "\n") || v.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return p
	}
	if v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		p.Column++
	}
	p.Column += n - 1
	return p
}

// Fail notes what is wrong with the value.
func (v Value) Fail(format string, args ...any) { v.FailAt(v.Place(), format, args...) }

// FailAt notes what is wrong with the value at one place of it.
func (v Value) FailAt(at Place, format string, args ...any) {
	v.doc.Wrong = append(v.doc.Wrong, &Error{at, v.Field, fmt.Sprintf(format, args...)})
}

// mismatch notes that something else was wanted.
func (v Value) mismatch(want string) {
	found := fmt.Sprintf("%q", v.node.Value)
	switch v.node.Kind {
	case yaml.MappingNode:
		found = "a map"
	case yaml.SequenceNode:
		found = "a list"
	}
	if words := v.doc.rules.Mismatch; words != nil {
		v.Fail("%s", words(want, found))
		return
	}
	v.Fail("expected %s, found %s", want, found)
}

// Given reports whether there is something to read: not if it was left empty,
// nor by way of YAML's references, which are noted as wrong.
func (v Value) Given() bool {
	if v.node.Kind == yaml.AliasNode || v.node.Anchor != "" || v.node.Style&yaml.TaggedStyle != 0 {
		v.Fail("tags, anchors and aliases are not supported")
		return false
	}
	return v.node.Tag != "!!null"
}

// Apart returns the value as a document of its own, whose fields begin with it.
func (v Value) Apart() *Document {
	return &Document{file: v.doc.file, number: v.doc.number, rules: v.doc.rules, at: map[string]*yaml.Node{"": v.node}}
}

// child returns a part of the value, and has its place remembered.
func (v Value) child(field string, n *yaml.Node) Value {
	v.doc.at[field] = n
	return Value{n, v.doc, field}
}

// Peek returns a field as it stands there, if it does, and judges nothing.
func (v Value) Peek(name string) (out Value) {
	out = Value{&yaml.Node{}, v.doc, name}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == name {
			out.node = v.node.Content[i+1]
		}
	}
	return out
}

// Items returns the items of a list; of anything else it has none.
func (v Value) Items() (items []Value) {
	if v.node.Kind != yaml.SequenceNode {
		return nil
	}
	for i, n := range v.node.Content {
		items = append(items, v.child(Indexed(v.Field, i), n))
	}
	return items
}

// List calls each for the items of a list that are given.
func (v Value) List(each func(Value)) {
	if !v.Given() {
		return
	}
	if v.node.Kind != yaml.SequenceNode {
		v.mismatch("a list")
	}
	for _, item := range v.Items() {
		if item.Given() {
			each(item)
		}
	}
}

// Fields are what a mapping may have, and what becomes of each.
type Fields map[string]func(Value)

// Mapping reads the fields of a mapping that are given. One that is not known is
// an error, unless others is there to take it.
func (v Value) Mapping(known Fields, others ...func(name string, v Value)) {
	if !v.Given() {
		return
	}
	v.mapping("fields", func(name string) func(Value) {
		read := known[name]
		switch {
		case read == nil && len(others) == 0:
			return nil
		case read == nil:
			read = func(v Value) { others[0](name, v) }
		}
		return func(v Value) {
			if v.Given() {
				read(v)
			}
		}
	}, Value.unknown)
}

func (v Value) unknown() { v.Fail("there is no such field here") }

// mapping has each field read by what known returns for it; where that is nil,
// unknown gets its key. want is for words.
func (v Value) mapping(want string, known func(name string) func(Value), unknown func(key Value)) {
	if v.node.Kind != yaml.MappingNode {
		v.mismatch(want)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		name := v.node.Content[i].Value
		key := Value{v.node.Content[i], v.doc, strings.TrimPrefix(v.Field+"."+name, ".")}
		read := known(name)
		switch {
		case read == nil:
			unknown(key)
		case seen[name]:
			key.Fail("given twice")
		default:
			seen[name] = true
			read(v.child(key.Field, v.node.Content[i+1]))
		}
	}
}
