package nat_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// Peers are a set: whatever is in it is found, and nothing else.
func TestPeers(t *testing.T) {
	var none *nat.Peers
	if none.Has(nat.Addr4(1)) || none.All() != nil || nat.NewPeers(nil).Has(nat.Addr4(1)) {
		t.Error("nobody is somebody")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 100, 5000} {
		is := map[hdr.Addr6]bool{}
		for range n {
			is[nat.Addr4(hdr.Addr4(r.Uint32()))] = true
			is[hdr.Addr6{Hi: r.Uint64(), Lo: r.Uint64N(4)}] = true
		}
		var all []hdr.Addr6
		for a := range is {
			all = append(all, a, a)
		}
		p := nat.NewPeers(append(all, hdr.Addr6{}))
		for a := range is {
			if b := (hdr.Addr6{Hi: a.Hi, Lo: a.Lo ^ 8}); !p.Has(a) || p.Has(b) != is[b] {
				t.Fatalf("%d: %v or %v", n, a, b)
			}
		}
		if p.Has(hdr.Addr6{}) || len(p.All()) != len(is) || !slices.IsSortedFunc(p.All(), hdr.Addr6.Compare) {
			t.Errorf("%d: %d are shown", n, len(p.All()))
		}
	}
}
