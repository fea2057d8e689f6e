package dhcprelay

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// Stats are what a relay does, and what it has done for each device.
type Stats struct {
	Config
	Addr  netip.Addr // that the server answers to; the zero Addr: nobody has asked yet
	Stray uint64     // messages from the server that were no answer to anybody's question
	Links []LinkStats
}

// LinkStats are of one pod's device, since it is served.
type LinkStats struct {
	Name string
	MAC  hdr.MAC // the pod's
	Counters
}

// Counters count messages.
type Counters struct {
	Asked    uint64 // sent on to the server
	Answered uint64 // sent on to the pod
	Limited  uint64 // of the pod, too many in a second
	Refused  uint64 // of the pod, and not what one client asks for itself
	Unsent   uint64 // of the pod, with the server out of reach
	Why      string // why the last one was not sent on
}

// errUnsent marks questions that did not get out.
var errUnsent = errors.New("the DHCP server is out of reach")

// count takes in how a question has fared.
func (c *Counters) count(err error) {
	switch {
	case err == nil:
		c.Asked++
		return
	case errors.Is(err, errTooMany):
		c.Limited++
	case errors.Is(err, errUnsent):
		c.Unsent++
	default:
		c.Refused++
	}
	c.Why = err.Error()
}

// Stats returns what the relay has done, devices by name.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{Config: r.cfg, Stray: r.stray}
	if r.up != nil {
		s.Addr = r.up.addr
	}
	for _, l := range r.links {
		s.Links = append(s.Links, LinkStats{l.name, l.mac, l.Counters})
	}
	slices.SortFunc(s.Links, func(a, b LinkStats) int { return cmp.Compare(a.Name, b.Name) })
	return s
}
