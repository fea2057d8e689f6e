package resource

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skein-dataplane/skein/internal/strictyaml"
	"github.com/skein-dataplane/skein/policy/selector"
)

// rules are how resources are read: a text is one in the Kubernetes API, too.
var rules = strictyaml.Rules{Numbered: true, Unknown: func(fields []string) string {
	return "expected one of " + strings.Join(fields, ", ")
}}

// A decoder reads one resource of a document.
type decoder struct {
	*strictyaml.Document
	alarms []Alarm
	ref    Ref // of the resource that is read
}

// Types of fields that are read in their own way.
type (
	intOr       = strictyaml.NumberOrText
	ignored     = strictyaml.Ignored // says nothing about policy
	unsupported = strictyaml.Present // says something that is not done
	loose       = strictyaml.Open
)

func indexed(field string, i int) string { return strictyaml.Indexed(field, i) }

// alarm notes that a field asks for what is not done.
func (d *decoder) alarm(field, format string, args ...any) {
	d.alarms = append(d.alarms, Alarm{Place: d.Find(field).Place(), Ref: d.ref, Field: field, What: fmt.Sprintf(format, args...)})
}

// selector reads an expression. If it is wrong, it notes where, and returns
// nil.
func (d *decoder) selector(field, text string) *selector.Selector {
	s, err := selector.Parse(text)
	if err == nil {
		return s
	}
	v := d.Find(field)
	at := v.Place()
	if e := (*selector.Error)(nil); errors.As(err, &e) {
		at = v.PlaceIn(e.Column)
	}
	v.FailAt(at, "%v", err)
	return nil
}
