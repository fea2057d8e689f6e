package resource

import (
	"errors"
	"fmt"
)

// A Place is where something stands in what was read. Lines, columns and
// documents count from 1.
type Place struct {
	File                   string
	Line, Column, Document int
}

// String writes the place as in "web.yaml:12:5 (document 2)".
func (p Place) String() string {
	return fmt.Sprintf("%s:%d:%d (document %d)", p.File, p.Line, p.Column, p.Document)
}

// ErrInvalid is the error of a resource that makes no sense.
var ErrInvalid = errors.New("invalid resource")

// An Error says what is wrong where, and wraps ErrInvalid.
type Error struct {
	Place
	Field string // as in "spec.ingress[0].action"; "" for a whole document
	What  string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%v: %s", e.Place, e.What)
	}
	return fmt.Sprintf("%v: %s: %s", e.Place, e.Field, e.What)
}

func (e *Error) Unwrap() error { return ErrInvalid }

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
