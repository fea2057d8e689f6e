package strictyaml

import (
	"errors"
	"fmt"
)

// A Place is where something stands in what was read. Lines, columns and
// documents count from 1.
type Place struct {
	File                   string
	Line, Column, Document int // Document 0: not counted, see Rules
}

// String writes the place as in "web.yaml:12:5 (document 2)".
func (p Place) String() string {
	text := fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	if p.Document > 0 {
		text += fmt.Sprintf(" (document %d)", p.Document)
	}
	return text
}

// ErrInvalid is the error of what makes no sense.
var ErrInvalid = errors.New("invalid")

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

// Unwrap returns ErrInvalid.
func (e *Error) Unwrap() error { return ErrInvalid }
