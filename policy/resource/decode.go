package resource

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skein-dataplane/skein/policy/selector"
)

// A decoder fills structs from the nodes of a YAML document and remembers
// where each field stands. Anchors, aliases and tags are refused.
type decoder struct {
	file     string
	document int
	at       map[string]spot // by field, as in "spec.order"
	wrong    []error
	alarms   []Alarm
	ref      Ref // of the resource that is read
}

// A spot is where a value begins. shift is how far behind that its text
// begins; negative, if the text is not there as it stands in the file.
type spot struct{ line, column, shift int }

// Types of fields that are read in their own way.
type (
	// intOr is a number or a text.
	intOr string
	// ignored is a field that says nothing about policy.
	ignored struct{}
	// unsupported is a field that says something that is not done. It is true
	// if the field is there.
	unsupported bool
	// loose as the type of a struct's field allows fields not listed.
	loose struct{}
)

func (d *decoder) place(s spot) Place {
	return Place{File: d.file, Line: s.line, Column: s.column, Document: d.document}
}

// find returns where a field stands, or what is around it if it was left out.
func (d *decoder) find(field string) spot {
	for path := field; ; path = path[:max(0, strings.LastIndexAny(path, ".["))] {
		if s, ok := d.at[path]; ok {
			return s
		}
		if path == "" {
			return spot{line: 1, column: 1}
		}
	}
}

// add notes that a field is wrong.
func (d *decoder) add(field, format string, args ...any) {
	d.wrong = append(d.wrong, &Error{d.place(d.find(field)), field, fmt.Sprintf(format, args...)})
}

// alarm notes that a field asks for what is not done.
func (d *decoder) alarm(field, format string, args ...any) {
	d.alarms = append(d.alarms, Alarm{Place: d.place(d.find(field)), Ref: d.ref, Field: field, What: fmt.Sprintf(format, args...)})
}

// selector reads an expression. If it is wrong, it notes where, and returns
// nil.
func (d *decoder) selector(field, text string) *selector.Selector {
	s, err := selector.Parse(text)
	if err == nil {
		return s
	}
	at := d.find(field)
	if e := (*selector.Error)(nil); errors.As(err, &e) && at.shift >= 0 {
		at.column += at.shift + e.Column - 1
	}
	d.wrong = append(d.wrong, &Error{d.place(at), field, err.Error()})
	return nil
}

func spotOf(n *yaml.Node) spot {
	s := spot{line: n.Line, column: n.Column}
	switch {
	case strings.ContainsAny(n.Value, "\n") || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		s.shift = -1
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		s.shift = 1
	}
	return s
}

// value fills v, which belongs to field, from a node.
func (d *decoder) value(n *yaml.Node, v reflect.Value, field string) {
	d.at[field] = spotOf(n)
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		d.add(field, "tags, anchors and aliases are not supported")
		return
	}
	if n.Tag == "!!null" { // as if it had been left out
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), field)
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[ignored]() {
			d.mapping(n, v, field)
		}
	case reflect.Slice:
		d.list(n, v, field)
	case reflect.Map:
		d.labels(n, v, field)
	default:
		d.scalar(n, v, field)
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.add(field, "expected fields, found %s", kindName(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		path := strings.TrimPrefix(field+"."+key.Value, ".")
		to, ok := fieldOf(v, key.Value)
		switch {
		case !ok && isLoose(v.Type()):
		case !ok || seen[key.Value]:
			d.at[path] = spotOf(key)
			what := "expected one of " + strings.Join(fieldNames(v.Type()), ", ")
			if ok {
				what = "given twice"
			}
			d.add(path, "%s", what)
		default:
			seen[key.Value] = true
			d.value(n.Content[i+1], to, path)
		}
	}
}

// isLoose reports whether a struct has a field of type loose, which is its first.
func isLoose(t reflect.Type) bool {
	return t.NumField() > 0 && t.Field(0).Type == reflect.TypeFor[loose]()
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag == key && tag != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			names = append(names, tag)
		}
	}
	return names
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.SequenceNode {
		d.add(field, "expected a list, found %s", kindName(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(item, v.Index(i), indexed(field, i))
	}
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// labels fills a map of texts.
func (d *decoder) labels(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.add(field, "expected labels, found %s", kindName(n))
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], reflect.New(v.Type().Elem()).Elem()
		path := field + "." + key.Value
		d.value(n.Content[i+1], value, path)
		if m.MapIndex(reflect.ValueOf(key.Value)).IsValid() {
			d.at[path] = spotOf(key)
			d.add(path, "given twice")
		}
		m.SetMapIndex(reflect.ValueOf(key.Value), value)
	}
	v.Set(m)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, field string) {
	switch {
	case v.Type() == reflect.TypeFor[unsupported]():
		v.SetBool(true)
	case n.Kind != yaml.ScalarNode,
		v.Type() == reflect.TypeFor[intOr]() && n.Tag != "!!int" && n.Tag != "!!str",
		v.Type() == reflect.TypeFor[string]() && n.Tag != "!!str",
		v.Kind() != reflect.String && n.Decode(v.Addr().Interface()) != nil:
		d.add(field, "expected %s, found %s", typeName(v.Type()), kindName(n))
	case v.Kind() == reflect.String:
		v.SetString(n.Value)
	}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[intOr]():
		return "a number or a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a whole number"
}
