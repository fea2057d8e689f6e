package configs

import (
	"bytes"

	"github.com/skein-dataplane/skein/internal/strictyaml"
)

// rules are how a configuration is read: no field needs quotes, and the words
// are those of check.
var rules = strictyaml.Rules{AnyText: true, Mismatch: func(want, found string) string {
	if want == "fields" || want == "names and values" {
		return found + " where " + want + " were expected"
	}
	return found + " where " + want + " was expected"
}}

// decode fills cfg from text. What is wrong is in the document.
func decode(name string, text []byte, cfg *Config) *strictyaml.Document {
	r := strictyaml.NewReader(name, bytes.NewReader(text), rules)
	d, _ := r.Next()
	d.Root().Into(cfg)
	if more, ok := r.Next(); ok && more.Root().Given() {
		more.Fail("", "a second document: a configuration is one")
		d.Wrong = append(d.Wrong, more.Wrong...)
	}
	return d
}
