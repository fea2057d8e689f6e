package cli

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A pair is a keyword and what takes the word after it.
type pair struct {
	word string
	set  func(value string) error
	many bool // may be given more than once
}

// pairs hands the values in args to the keywords before them.
func pairs(args []string, known ...pair) error {
	seen := map[string]bool{}
	for i := 0; i < len(args); i += 2 {
		word := args[i]
		k := slices.IndexFunc(known, func(p pair) bool { return p.word == word })
		switch {
		case k < 0:
			return fmt.Errorf("unknown word %q", word)
		case i+1 == len(args):
			return fmt.Errorf("%s: value missing", word)
		case seen[word] && !known[k].many:
			return fmt.Errorf("%s: given twice", word)
		}
		seen[word] = true
		if err := known[k].set(args[i+1]); err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
	}
	return nil
}

// text keeps a value as it is.
func text(to *string) func(string) error {
	return func(value string) error {
		*to = value
		return nil
	}
}

// number keeps a value of at least min.
func number(to *uint32, min uint32) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || uint32(n) < min {
			return fmt.Errorf("%q is not a whole number from %d to %d", value, min, uint32(1<<32-1))
		}
		*to = uint32(n)
		return nil
	}
}

// seconds keeps a duration, written "0.2" or "200ms", between min and max.
func seconds(to *time.Duration, min, max time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if f, e := strconv.ParseFloat(value, 64); e == nil && f >= 0 && f <= max.Seconds() {
			d, err = time.Duration(f*float64(time.Second)), nil
		}
		if err != nil || d < min || d > max {
			return fmt.Errorf("%q is not a time from %v to %v", value, min, max)
		}
		*to = d
		return nil
	}
}

// onOff keeps a choice between two words.
func onOff(value, yes, no string) (bool, error) {
	switch value {
	case yes:
		return true, nil
	case no:
		return false, nil
	}
	return false, fmt.Errorf("%q is neither %s nor %s", value, yes, no)
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an address", s)
	}
	return a, nil
}

// parseScopedAddr is parseAddr, and takes a zone as well: fe80::1%eth0.
func parseScopedAddr(s string) (netip.Addr, error) {
	bare, zone, scoped := strings.Cut(s, "%")
	a, err := parseAddr(bare)
	if err == nil && scoped {
		if a = a.WithZone(zone); a.Zone() == "" {
			return a, fmt.Errorf("%q is not an address with a zone, such as fe80::1%%eth0", s)
		}
	}
	return a, err
}

// parseIfAddr reads the address of an interface, which keeps its host bits.
func parseIfAddr(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not an address with prefix length, such as 10.0.0.1/24", s)
	}
	return p, nil
}

// parsePrefix reads a route's destination as `ip route` does: "default" is of
// like's family, and an address stands for itself alone.
func parsePrefix(s string, like netip.Addr) (netip.Prefix, error) {
	if s == "default" {
		if like.Is6() {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0), nil
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	if a, err := parseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not a prefix, such as 10.0.0.0/8", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s has bits set after its length; %s has not", p, p.Masked())
	}
	return p, nil
}

func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("%q is not an Ethernet address, such as 02:fe:00:00:00:01", s)
	}
	return mac, nil
}
