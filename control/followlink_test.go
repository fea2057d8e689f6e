package control

import (
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
)

// What is done when the links differ, one row after the other: each begins
// with what the row before has left.
func TestAgree(t *testing.T) {
	a, b := hdr.MAC{2, 0, 0, 0, 0, 1}, hdr.MAC{2, 0, 0, 0, 0, 2}
	usual := side{up: true, carrier: true, mtu: 1500, mac: a}
	with := func(change func(*side)) side {
		s := usual
		change(&s)
		return s
	}
	jumbo := with(func(s *side) { s.mtu = 9000 })
	other := with(func(s *side) { s.mac = b })
	down := with(func(s *side) { s.up = false })
	unplugged := with(func(s *side) { s.carrier = false })
	off := with(func(s *side) { s.up, s.carrier = false, false })
	tests := []struct {
		name    string
		was, is sides
		told    bool
		want    string
	}{
		{"nothing has changed", sides{usual, usual}, sides{usual, usual}, true, "[]"},
		{"the host wants jumbo frames", sides{usual, usual}, sides{jumbo, usual}, true, "[uplink mtu 9000]"},
		{"and has them", sides{jumbo, usual}, sides{jumbo, jumbo}, true, "[]"},
		{"and the NIC has refused", sides{jumbo, usual}, sides{jumbo, usual}, true, "[tap mtu 1500]"},
		{"the NIC has changed", sides{usual, usual}, sides{usual, jumbo}, true, "[tap mtu 9000]"},
		{"both have: the host is right", sides{usual, usual}, sides{with(func(s *side) { s.mtu = 1400 }), jumbo}, true, "[uplink mtu 1400]"},
		{"the host wants another address", sides{usual, usual}, sides{other, usual}, true, "[uplink address 02:00:00:00:00:02]"},
		{"the NIC has got another address", sides{usual, usual}, sides{usual, other}, true, "[tap address 02:00:00:00:00:02]"},
		{"the host sets it down", sides{usual, usual}, sides{down, usual}, true, "[uplink down]"},
		{"down says nothing of the cable", sides{down, usual}, sides{down, off}, true, "[]"},
		{"up, and the cable is not there at once", sides{down, off}, sides{usual, off}, true, "[uplink up]"},
		{"the cable is pulled", sides{usual, usual}, sides{usual, unplugged}, true, "[tap carrier off]"},
		{"the host knows", sides{usual, unplugged}, sides{usual, unplugged}, false, "[]"},
		{"the cable is back", sides{usual, unplugged}, sides{usual, usual}, false, "[tap carrier on]"},
		{"somebody sets the NIC down", sides{usual, usual}, sides{usual, off}, true, "[uplink up]"},
	}
	for _, test := range tests {
		if got := fmt.Sprint(agree(test.was, test.is, test.told)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
