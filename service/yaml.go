package service

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ErrInvalid is the error of what makes no sense.
var ErrInvalid = errors.New("invalid")

// A Place is where something stands in what was read; lines and columns count
// from 1.
type Place struct {
	File         string
	Line, Column int
}

func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// An Error says what is wrong where, and wraps ErrInvalid.
type Error struct {
	Place Place
	Field string // as in "spec.ports[0].port"
	What  string
}

func (e *Error) Error() string {
	text := "service: " + e.Place.String() + ": "
	if e.Field != "" {
		text += e.Field + ": "
	}
	return text + e.What
}

func (e *Error) Unwrap() error { return ErrInvalid }

// A reader takes YAML documents apart and notes what is wrong.
type reader struct {
	file  string
	wrong []error
}

// A value is a node of a document that knows what it is called.
type value struct {
	*yaml.Node
	r     *reader
	field string
}

// fields are what a mapping may have, and what becomes of each. A field that
// says nothing about services has skip.
type fields map[string]func(value)

func skip(value) {}

func (v value) place() Place { return Place{v.r.file, v.Line, v.Column} }

func (v value) fail(format string, args ...any) {
	v.r.wrong = append(v.r.wrong, &Error{v.place(), v.field, fmt.Sprintf(format, args...)})
}

// plain reports whether a node may be read: not if it was left empty, which is
// as good as not there, nor by way of YAML's references.
func (v value) plain() bool {
	if v.Kind == yaml.AliasNode || v.Anchor != "" || v.Style&yaml.TaggedStyle != 0 {
		v.fail("tags, anchors and aliases are not supported")
		return false
	}
	return v.Tag != "!!null"
}

// mapping reads the fields of a mapping. One that is not known is an error,
// unless others is there to take it.
func (v value) mapping(known fields, others ...func(name string, v value)) {
	if !v.plain() {
		return
	}
	if v.Kind != yaml.MappingNode {
		v.fail("expected fields")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		key := v.Content[i]
		f := value{key, v.r, strings.TrimPrefix(v.field+"."+key.Value, ".")}
		read, ok := known[key.Value]
		switch {
		case seen[key.Value]:
			f.fail("given twice")
			continue
		case !ok && len(others) == 0:
			f.fail("there is no such field here")
			continue
		}
		seen[key.Value] = true
		f.Node = v.Content[i+1]
		switch {
		case !ok:
			others[0](key.Value, f)
		case f.plain():
			read(f)
		}
	}
}

func (v value) list(each func(value)) {
	if !v.plain() {
		return
	}
	if v.Kind != yaml.SequenceNode {
		v.fail("expected a list")
		return
	}
	for i, item := range v.Content {
		if f := (value{item, v.r, fmt.Sprintf("%s[%d]", v.field, i)}); f.plain() {
			each(f)
		}
	}
}

func (v value) text() string {
	if v.Kind != yaml.ScalarNode {
		v.fail("expected a text")
		return ""
	}
	return v.Value
}

func (v value) set(to *string) { *to = v.text() }

func (v value) bool() bool {
	b, err := strconv.ParseBool(v.text())
	if err != nil || v.Tag != "!!bool" {
		v.fail("expected true or false, found %q", v.Value)
	}
	return b
}

// number reads a number from least to most.
func (v value) number(least, most int) int {
	n, err := strconv.Atoi(v.text())
	if err != nil || n < least || n > most {
		v.fail("expected a number from %d to %d, found %q", least, most, v.Value)
		return 0
	}
	return n
}

func (v value) port() uint16 { return uint16(v.number(1, 65535)) }

func (v value) addr() netip.Addr {
	a, err := netip.ParseAddr(v.text())
	if err != nil || a.Zone() != "" || a.Is4In6() {
		v.fail("expected an IP address, found %q", v.Value)
		return netip.Addr{}
	}
	return a
}

func (v value) prefix() netip.Prefix {
	p, err := netip.ParsePrefix(strings.TrimSpace(v.text()))
	if err != nil || p.Addr().Is4In6() {
		v.fail("expected a prefix as in 192.0.2.0/24, found %q", v.Value)
		return netip.Prefix{}
	}
	return p.Masked()
}

func (v value) time() time.Time {
	t, err := time.Parse(time.RFC3339, v.text())
	if err != nil {
		v.fail("expected a time as in 2026-01-02T15:04:05Z, found %q", v.Value)
	}
	return t
}

// one reads a text that is one of some.
func (v value) one(of ...string) string {
	for _, s := range of {
		if v.text() == s {
			return s
		}
	}
	v.fail("expected one of %s, found %q", strings.Join(of, ", "), v.Value)
	return ""
}

// documents calls each with the root of each document of a text.
func (r *reader) documents(text io.Reader, each func(value)) {
	for d := yaml.NewDecoder(text); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.wrong = append(r.wrong, &Error{Place{r.file, syntaxLine(err), 1}, "", strings.TrimPrefix(err.Error(), "yaml: ")})
			return
		}
		if len(doc.Content) > 0 && doc.Content[0].Tag != "!!null" {
			each(value{doc.Content[0], r, ""})
		}
	}
}

// syntaxLine returns the line that an error of the YAML parser names; it does
// so in its text only.
func syntaxLine(err error) int {
	_, after, _ := strings.Cut(err.Error(), "line ")
	digits, _, _ := strings.Cut(after, ":")
	if n, err := strconv.Atoi(digits); err == nil {
		return n
	}
	return 1
}
