package strictyaml_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/strictyaml"
)

type object struct {
	Name   string                  `yaml:"name"`
	Port   strictyaml.NumberOrText `yaml:"port"`
	Labels map[string]string       `yaml:"labels"`
	Wait   time.Duration           `yaml:"wait"`
	Parts  []part                  `yaml:"parts"`
	Order  *float64                `yaml:"order"`
	Notes  strictyaml.Ignored      `yaml:"notes"`
	Http   strictyaml.Present      `yaml:"http"`
	Hidden string                  `yaml:"-"`
}

type part struct {
	_ strictyaml.Open
	N int `yaml:"n"`
}

func read(text string, rules strictyaml.Rules) (o object, err error) {
	r := strictyaml.NewReader("f", strings.NewReader(text), rules)
	d, _ := r.Next()
	d.Root().Into(&o)
	return o, errors.Join(d.Wrong...)
}

func TestInto(t *testing.T) {
	o, err := read("name: a\nport: 80\nlabels: {a: b, c: ~}\nwait: 5s\nparts: [{n: 1, more: 1, more: 2}, ~]\norder: 1.5\nnotes: [1]\nhttp: {}\n", strictyaml.Rules{})
	order := 1.5
	want := object{Name: "a", Port: "80", Labels: map[string]string{"a": "b", "c": ""}, Wait: 5 * time.Second, Parts: []part{{N: 1}, {}}, Order: &order, Http: true}
	if err != nil || !reflect.DeepEqual(o, want) {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := read("name: 1.5\nlabels: {a: true}\n", strictyaml.Rules{AnyText: true}); err != nil || o.Name != "1.5" || o.Labels["a"] != "true" {
		t.Errorf("any text: %+v, %v", o, err)
	}
}

// TestWrong: each thing that is wrong is said with its place, and all of them.
func TestWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"~":                                   "",
		"a: [":                                "f:1:1: not YAML: did not find expected node content",
		"just words":                          `f:1:1: expected fields, found "just words"`,
		"&a {}":                               "f:1:1: tags, anchors and aliases are not supported",
		"parts: [{n: &a 1}, {n: *a}]":         "f:1:13: parts[0].n: tags, anchors and aliases are not supported\nf:1:24: parts[1].n: tags, anchors and aliases are not supported",
		"name: a\nname: b\nhidden: x\n'-': y": "f:2:1: name: given twice\nf:3:1: hidden: there is no such field here\nf:4:1: -: there is no such field here",
		"name: 1\nport: 1.5\nwait: 5":         "f:1:7: name: expected a text, found \"1\"\nf:2:7: port: expected a number or a text, found \"1.5\"\nf:3:7: wait: expected a duration such as 10s, found \"5\"",
		"labels: [a]\nparts: {a: b}":          "f:1:9: labels: expected names and values, found a list\nf:2:8: parts: expected a list, found a map",
		"labels: {a: b, a: c}":                "f:1:16: labels.a: given twice",
		"parts: [{n: x}]\norder: [x]":         "f:1:13: parts[0].n: expected a whole number, found \"x\"\nf:2:8: order: expected a number, found a list",
	} {
		_, err := read(text, strictyaml.Rules{})
		if got := fmt.Sprint(errors.Join(err)); err == nil && want != "" || err != nil && got != want {
			t.Errorf("%q\n gives %v\n want  %s", text, err, want)
		}
		var e *strictyaml.Error
		if err != nil && (!errors.As(err, &e) || !errors.Is(err, strictyaml.ErrInvalid)) {
			t.Errorf("%q: %#v", text, err)
		}
	}
}

// Readers differ in their words, and in whether they count documents.
func TestRules(t *testing.T) {
	_, err := read("nam: x\nparts: 1\n", strictyaml.Rules{
		Numbered: true,
		Mismatch: func(want, found string) string { return found + " for " + want },
		Unknown:  func(fields []string) string { return fmt.Sprint("not of ", fields) },
	})
	want := "f:1:1 (document 1): nam: not of [name port labels wait parts order notes http]\nf:2:8 (document 1): parts: \"1\" for a list"
	if fmt.Sprint(err) != want {
		t.Errorf("%v", err)
	}
}

// Values are also walked, by documents and fields.
func TestWalk(t *testing.T) {
	r := strictyaml.NewReader("f", strings.NewReader("{a: [10.0.0.1, x, ~], p: 10.1.2.3/8, b: yes, c: 2026-01-02T03:04:05Z, n: 70000, o: z}\n---\n~\n---\ns: 'abc'\nt: |\n  abc\n"), strictyaml.Rules{})
	d, _ := r.Next()
	var seen []any
	note := func(x any) { seen = append(seen, x) }
	d.Root().Mapping(strictyaml.Fields{
		"a": func(v strictyaml.Value) { v.List(func(v strictyaml.Value) { note(v.Addr()) }) },
		"p": func(v strictyaml.Value) { note(v.Prefix()) },
		"b": func(v strictyaml.Value) { note(v.Bool()) },
		"c": func(v strictyaml.Value) { note(v.Time().Unix()) },
		"n": func(v strictyaml.Value) { note(v.Port()) },
	}, func(name string, v strictyaml.Value) { note(name + v.One("x", "y")) })
	want := []any{netip.MustParseAddr("10.0.0.1"), netip.Addr{}, netip.MustParsePrefix("10.0.0.0/8"), false, int64(1767323045), uint16(0), "o"}
	if !reflect.DeepEqual(seen, want) || len(d.Wrong) != 4 {
		t.Errorf("%v\n%v", seen, d.Wrong)
	}
	if d, ok := r.Next(); !ok || d.Root().Given() {
		t.Error("the second document is there, and empty")
	}
	d, _ = r.Next()
	d.Root().Into(new(struct {
		S string `yaml:"s"`
		T string `yaml:"t"`
	}))
	if p, q := d.Find("s").PlaceIn(3), d.Find("t").PlaceIn(3); p.Line != 5 || p.Column != 7 || q.Line != 6 || q.Column != 4 {
		t.Errorf("a byte of a text stands at %v, of a block at %v", p, q)
	}
	if p := d.Find("s.u[5]").Place(); p.Line != 5 || p.Column != 4 {
		t.Errorf("what was left out is at %v", p)
	}
	if _, ok := r.Next(); ok {
		t.Error("a fourth document")
	}
}

// FuzzInto: whatever stands in a file, reading it ends, and each error has a
// place in it.
func FuzzInto(f *testing.F) {
	f.Add("name: a\nparts: [{n: 1}]\nlabels: {a: b}\n---\n&a {http: !x y}")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 2
		r := strictyaml.NewReader("f", strings.NewReader(text), strictyaml.Rules{})
		for d, ok := r.Next(); ok; d, ok = r.Next() {
			var o object
			d.Root().Into(&o)
			for _, err := range d.Wrong {
				var e *strictyaml.Error
				if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Line > lines && !strings.ContainsAny(text, "\u0085\u2028\u2029") {
					t.Fatalf("%q: %v", text, err)
				}
			}
		}
	})
}
