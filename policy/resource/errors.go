package resource

import "github.com/skein-dataplane/skein/internal/strictyaml"

// A Place is where something stands in what was read: file, line, column and
// document, which count from 1.
type Place = strictyaml.Place

// ErrInvalid is the error of a resource that makes no sense.
var ErrInvalid = strictyaml.ErrInvalid

// An Error says what is wrong with which field where, and wraps ErrInvalid.
type Error = strictyaml.Error

// An Alarm says what was asked for that is not done, and what is done instead.
type Alarm struct {
	Place Place
	Ref   Ref
	Field string // "" for the whole resource
	What  string
}

func (a Alarm) String() string {
	text := a.Ref.String() + ": "
	if a.Field != "" {
		text += a.Field + ": "
	}
	return text + a.What
}
