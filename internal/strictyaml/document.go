// Package strictyaml answers one question: what does this YAML say, and where
// does it say it?
//
// A Reader takes a file apart, document by document. A Value is a node that
// knows its field and its place: one either walks it, with a function for each
// field, or has it fill structs. Both refuse fields that are not known, fields
// given twice, and tags, anchors and aliases; what was left empty is as good as
// left out. Whatever is wrong is noted in the Document, and reading goes on, so
// that all of it is said at once.
//
// Structs suit files whose values are judged together, functions those whose
// values are judged one by one where they stand. What the fields mean is up to
// who reads. Maturity: stable.
package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rules are what readers differ in.
type Rules struct {
	Numbered bool // places say in which document they are
	AnyText  bool // a number, or true, stands for itself where a text is wanted

	// Mismatch words what was found where something else was wanted, as "a list"
	// and "fields"; nil: "expected fields, found a list".
	Mismatch func(want, found string) string
	// Unknown words that a field is none of a struct's; nil: "there is no such
	// field here".
	Unknown func(fields []string) string
}

// A Reader reads the documents of a file.
type Reader struct {
	file   string
	rules  Rules
	yaml   *yaml.Decoder // nil behind an error
	number int
}

// NewReader returns a Reader of text; file is for words.
func NewReader(file string, text io.Reader, rules Rules) *Reader {
	return &Reader{file: file, rules: rules, yaml: yaml.NewDecoder(text)}
}

// A Document is one of a file, or a part of one that was set apart.
type Document struct {
	Wrong []error // *Errors

	file   string
	number int
	rules  *Rules
	at     map[string]*yaml.Node // by field, "" being the root
}

// Next returns the next document, and whether there was one: if not, it is
// empty. What is no YAML is an empty document with an error, and the last.
func (r *Reader) Next() (*Document, bool) {
	r.number++
	d := &Document{file: r.file, rules: &r.rules}
	if r.rules.Numbered {
		d.number = r.number
	}
	root := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}
	d.at = map[string]*yaml.Node{"": root}
	if r.yaml == nil {
		return d, false
	}
	var doc yaml.Node
	err := r.yaml.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return d, false
	case err != nil:
		r.yaml = nil
		var what string
		root.Line, what = syntax(err)
		d.Fail("", "not YAML: %s", what)
	case len(doc.Content) > 0:
		d.at[""] = doc.Content[0]
	}
	return d, true
}

// lineOf finds the place in the YAML library's messages.
var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func syntax(err error) (line int, what string) {
	m := lineOf.FindStringSubmatch(err.Error())
	if m == nil {
		return 1, err.Error()
	}
	if line, err = strconv.Atoi(m[1]); err != nil {
		line = 1
	}
	return line, m[2]
}

// Root returns the whole document.
func (d *Document) Root() Value { return d.Find("") }

// Find returns what a field has, or what is around it if it was left out or has
// not been read.
func (d *Document) Find(field string) Value {
	for path := field; ; path = path[:max(0, strings.LastIndexAny(path, ".["))] {
		if n, ok := d.at[path]; ok {
			return Value{n, d, field}
		}
	}
}

// Fail notes what is wrong with a field.
func (d *Document) Fail(field, format string, args ...any) { d.Find(field).Fail(format, args...) }

// Indexed returns the field of an item of a list.
func Indexed(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
