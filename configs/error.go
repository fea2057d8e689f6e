package configs

import (
	"errors"

	"github.com/skein-dataplane/skein/internal/strictyaml"
)

// A Problem is one thing that is wrong with a file: where, which field, what
// was found and what was expected.
type Problem = strictyaml.Error

// An Error is all that is wrong with a file.
type Error struct{ Problems []error } // *Problems

func (e *Error) Error() string { return errors.Join(e.Problems...).Error() }

// Unwrap returns the Problems.
func (e *Error) Unwrap() []error { return e.Problems }
