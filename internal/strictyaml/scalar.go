package strictyaml

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Raw returns what stands there, "" for a map or a list.
func (v Value) Raw() string { return v.node.Value }

// Text reads a text, or whatever else is no map nor list.
func (v Value) Text() string {
	if v.node.Kind != yaml.ScalarNode {
		v.mismatch("a text")
	}
	return v.node.Value
}

// Bool reads true or false.
func (v Value) Bool() bool {
	b, err := strconv.ParseBool(v.Text())
	if err != nil || v.node.Tag != "!!bool" {
		v.mismatch("true or false")
	}
	return b
}

// Number reads a number from least to most; 0 if it is another.
func (v Value) Number(least, most int) int {
	n, err := strconv.Atoi(v.Text())
	if err != nil || n < least || n > most {
		v.mismatch("a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most))
		return 0
	}
	return n
}

// Port reads a port other than 0.
func (v Value) Port() uint16 { return uint16(v.Number(1, 65535)) }

// Addr reads an address without a zone; the zero Addr if it is none.
func (v Value) Addr() netip.Addr {
	a, err := netip.ParseAddr(v.Text())
	if err != nil || a.Zone() != "" || a.Is4In6() {
		v.mismatch("an IP address")
		return netip.Addr{}
	}
	return a
}

// Prefix reads a prefix, of which it takes off the host bits; the zero Prefix if
// it is none.
func (v Value) Prefix() netip.Prefix {
	p, err := netip.ParsePrefix(strings.TrimSpace(v.Text()))
	if err != nil || p.Addr().Is4In6() {
		v.mismatch("a prefix as in 192.0.2.0/24")
		return netip.Prefix{}
	}
	return p.Masked()
}

// Time reads a time (RFC 3339, section 5.6).
func (v Value) Time() time.Time {
	t, err := time.Parse(time.RFC3339, v.Text())
	if err != nil {
		v.mismatch("a time as in 2026-01-02T15:04:05Z")
	}
	return t
}

// One reads a text that is one of some; "" if it is another.
func (v Value) One(of ...string) string {
	text := v.Text()
	if !slices.Contains(of, text) {
		v.mismatch("one of " + strings.Join(of, ", "))
		return ""
	}
	return text
}
