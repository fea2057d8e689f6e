package session_test

import (
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// leaves holds what packets of r leave with against the key that the other
// direction has in the twin. Zones are not on the packet.
func (p *pair) leaves(r session.Ref, f *flow) {
	p.t.Helper()
	var is any
	proto, zone := parts(f.keys[r.Dir()^1])
	if s := p.tab.At(r.Index()); !s.IsIPv6() {
		addrs, ports := s.Leaves4(r.Dir())
		is = session.MakeKey4(hdr.Addr4(addrs>>32), hdr.Addr4(addrs), uint16(ports>>16), uint16(ports), proto, zone)
	} else {
		src, dst, ports, ok := p.tab.Leaves6(r)
		if ok != f.two {
			p.t.Fatalf("session %d is translated: %t, want %t", r.Index(), ok, f.two)
		}
		if !ok {
			return
		}
		is = session.MakeKey6(src, dst, uint16(ports>>16), uint16(ports), proto, zone)
	}
	if want := swapped(f.keys[r.Dir()^1]); is != want {
		p.t.Fatalf("session %d, direction %d: leaves as %v, want %v", r.Index(), r.Dir(), is, want)
	}
}

// Leaves6 has nothing to say of no session, of one of IPv4, and of one that is
// not translated.
func TestLeavesOfOthers(t *testing.T) {
	tab := table(t, session.Config{Capacity: 10})
	k4, k6 := flow4(1), flow6(1)
	rev := k6.Swap()
	r4, _ := tab.Insert4(k4, k4.Swap(), tab.Hash4(k4), 0, hdr.TCPSyn, 1)
	r6, _ := tab.Insert6(&k6, &rev, tab.Hash6(&k6), 0, hdr.TCPSyn, 1)
	for _, r := range []session.Ref{0, r4, r4 | session.Reverse, r6, r6 | session.Reverse} {
		if src, dst, ports, ok := tab.Leaves6(r); ok || src != dst || !src.IsUnspecified() || ports != 0 {
			t.Errorf("%x leaves as %v %v %x %t", r, src, dst, ports, ok)
		}
	}
}
