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
	lab.Need(t, tr.PodA.Reaches(ctx, lab.RemoteAddr, lab.Ping{Count: 1}))
	lab.Need(t, tr.Router.Sysctl("net.ipv4.conf.lan.arp_ignore", "8")) // reply to nobody
	lab.Need(t, tr.Upgrade(ctx))
	if err := tr.PodA.Reaches(ctx, lab.RemoteAddr, lab.Ping{Count: 1}); err != nil {
		t.Errorf("a pod, just after the replacement: %v", err)
	}
}
