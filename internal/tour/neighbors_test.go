package tour_test

import (
	"context"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A data plane that takes over knows its predecessor's neighbours: a gateway
// that does not answer ARP at that moment is sent to all the same.
func TestNeighborsAtReplacement(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet"})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lab.Need(t, tr.Start(ctx))
	for _, f := range families {
		lab.Need(t, tr.PodA.Reaches(ctx, f.remote, lab.Ping{Count: 1}))
	}
	lab.Need(t, tr.Router.Sysctl("net.ipv4.conf.lan.arp_ignore", "8")) // reply to nobody
	// Linux has no such switch for IPv6: what asks for the gateway goes astray.
	deaf(t, ctx, tr.Router)
	lab.Need(t, tr.Upgrade(ctx))
	for _, f := range families {
		if err := tr.PodA.Reaches(ctx, f.remote, lab.Ping{Count: 1}); err != nil {
			t.Errorf("a pod, just after the replacement, by %s: %v", f.name, err)
		}
	}
}

// deaf has a router drop neighbour solicitations.
func deaf(t *testing.T, ctx context.Context, router *lab.Namespace) {
	t.Helper()
	for _, line := range []string{"add table ip6 deaf", "add chain ip6 deaf in { type filter hook input priority 0; }",
		"add rule ip6 deaf in icmpv6 type nd-neighbor-solicit drop"} {
		_, err := router.Exec(ctx, "nft", line)
		lab.Need(t, err)
	}
}
