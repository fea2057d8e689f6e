package configs

import (
	"fmt"
	"strings"
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
