package configs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// A Problem is one thing that is wrong with a file.
type Problem struct {
	Line, Column int    // from 1 on; 0 if unknown
	Field        string // as in "uplinks[0].driver"; empty for bad syntax
	What         string // what was found and what was expected
}

// An Error is all that is wrong with a file.
type Error struct {
	Name     string
	Problems []Problem
}

func (e *Error) Error() string {
	var lines []string
	for _, p := range e.Problems {
		at := e.Name
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", e.Name, p.Line, p.Column)
		}
		if p.Field != "" {
			at += ": " + p.Field
		}
		lines = append(lines, at+": "+p.What)
	}
	return strings.Join(lines, "\n")
}

// syntaxError turns the YAML library's error, which draws the place, into a
// Problem.
func syntaxError(name string, err error) error {
	p := Problem{What: err.Error()}
	var at yaml.Error
	if errors.As(err, &at) {
		p.What = at.GetMessage()
		if t := at.GetToken(); t != nil {
			p.Line, p.Column = t.Position.Line, t.Position.Column
		}
	}
	if field, ok := unknownField(p.What); ok {
		p.Field, p.What = field, "there is no such field here"
	}
	return &Error{Name: name, Problems: []Problem{p}}
}

// unknownField takes the name out of `unknown field "x"`.
func unknownField(message string) (string, bool) {
	rest, ok := strings.CutPrefix(message, `unknown field "`)
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(rest, `"`), true
}
