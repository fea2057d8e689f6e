package configs

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A decoder fills a Config from the nodes of a YAML document, and remembers
// where each field stands. It takes maps, lists and plain values; tags,
// anchors and aliases have no use here and are refused.
type decoder struct {
	checker
	at map[string]place // by field, as in "uplinks[0].driver"
}

type place struct{ line, column int }

// decode fills cfg from text. What is wrong is in the decoder.
func decode(text []byte, cfg *Config) *decoder {
	d := &decoder{at: map[string]place{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		d.wrong = append(d.wrong, syntaxProblem(err))
		return d
	}
	if len(doc.Content) > 0 { // else the file is empty
		d.value(doc.Content[0], reflect.ValueOf(cfg).Elem(), "")
	}
	return d
}

// value fills v, which belongs to field, from a node.
func (d *decoder) value(n *yaml.Node, v reflect.Value, field string) {
	d.at[field] = place{n.Line, n.Column}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0:
		d.add(field, "tags, anchors and aliases are not supported")
	case n.Tag == "!!null": // as if it had been left out
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, field)
	case v.Kind() == reflect.Slice:
		d.list(n, v, field)
	case v.Kind() == reflect.Map:
		d.texts(n, v, field)
	case n.Kind != yaml.ScalarNode:
		d.add(field, "a %s where %s was expected", kindName(n), typeName(v.Type()))
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			d.add(field, "%q where %s was expected", n.Value, typeName(v.Type()))
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.add(field, "a %s where fields were expected", kindName(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		path := strings.TrimPrefix(field+"."+key.Value, ".")
		to, ok := fieldOf(v, key.Value)
		switch {
		case !ok:
			d.at[path] = place{key.Line, key.Column}
			d.add(path, "there is no such field here")
		case seen[key.Value]:
			d.at[path] = place{key.Line, key.Column}
			d.add(path, "given twice")
		default:
			seen[key.Value] = true
			d.value(n.Content[i+1], to, path)
		}
	}
}

// texts fills a map of texts, such as labels.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.add(field, "a %s where names and values were expected", kindName(n))
		return
	}
	m := make(map[string]string, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		path := field + "." + key
		if _, twice := m[key]; twice {
			d.at[path] = place{n.Content[i].Line, n.Content[i].Column}
			d.add(path, "given twice")
		}
		var text string
		d.value(n.Content[i+1], reflect.ValueOf(&text).Elem(), path)
		m[key] = text
	}
	v.Set(reflect.ValueOf(m))
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag == key && tag != "-" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.SequenceNode {
		d.add(field, "a %s where a list was expected", kindName(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", field, i))
	}
}

// locate sets where the problems are: at their fields, or, for one that was
// left out, at what is around it.
func (d *decoder) locate(wrong []Problem) []Problem {
	for i := range wrong {
		p := &wrong[i]
		if p.Line != 0 {
			continue
		}
		for path := p.Field; ; path = parent(path) {
			if at, ok := d.at[path]; ok {
				p.Line, p.Column = at.line, at.column
				break
			}
			if path == "" {
				p.Line, p.Column = 1, 1
				break
			}
		}
	}
	return wrong
}

// parent cuts the last step off a path: a[1].b, a[1], a, "".
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "map"
	case yaml.SequenceNode:
		return "list"
	}
	return fmt.Sprintf("value %q", n.Value)
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 10s"
	case t.Kind() == reflect.Int:
		return "a number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a text"
}

// lineOf finds the place in the YAML library's messages.
var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxProblem turns the YAML library's error into a Problem.
func syntaxProblem(err error) Problem {
	p := Problem{What: err.Error()}
	if m := lineOf.FindStringSubmatch(p.What); m != nil {
		p.What = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			p.Line, p.Column = line, 1
		}
	}
	return p
}
