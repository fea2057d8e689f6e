package configs

import (
	"errors"
	"fmt"
	"net/netip"
)

// MaxDeny is how many prefixes can be denied.
const MaxDeny = 65536

// MaxRate is the largest rate that can be asked for, per second: in bits, more
// than any device gives.
const MaxRate uint64 = 1e13

// A RateLimit is how much may pass an interface in one direction: packets or
// bits, not both. The zero RateLimit is none.
type RateLimit struct {
	Packets   uint64 `yaml:"packets" json:",omitempty"`   // per second
	Bandwidth uint64 `yaml:"bandwidth" json:",omitempty"` // bits per second
	Burst     uint64 `yaml:"burst" json:",omitempty"`     // packets or bits; 0: what passes in 100 ms
}

// Check says what makes no sense of it.
func (r RateLimit) Check() error {
	switch rate := max(r.Packets, r.Bandwidth); {
	case r.Packets != 0 && r.Bandwidth != 0:
		return errors.New("packets and bandwidth, where one of them was expected")
	case rate == 0 && r.Burst != 0:
		return fmt.Errorf("a burst of %d, where packets or bandwidth was expected as well", r.Burst)
	case max(rate, r.Burst) > MaxRate:
		return fmt.Errorf("%d, where at most %d was expected", max(rate, r.Burst), MaxRate)
	}
	return nil
}

// CheckDeny says why a prefix can't be denied. Neighbour discovery comes from
// link-local addresses (RFC 4861, section 4): without it nothing works.
func CheckDeny(p netip.Prefix) error {
	if p.IsValid() && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
		return fmt.Errorf("%s is of the link, and never denied", p)
	}
	return nil
}

// guard checks what is to be dropped first of all.
func (c *checker) guard(cfg *Config) {
	if n := len(cfg.Deny); n > MaxDeny {
		c.add("deny", "%d prefixes where at most %d were expected", n, MaxDeny)
		return
	}
	for i, text := range cfg.Deny {
		field := fmt.Sprintf("deny[%d]", i)
		if err := CheckDeny(c.prefix(field, text, true)); err != nil {
			c.add(field, "%s", err)
		}
	}
	for i, u := range cfg.Uplinks {
		if err := u.RateLimit.Check(); err != nil {
			c.add(fmt.Sprintf("uplinks[%d].rate_limit", i), "%s", err)
		}
	}
}
