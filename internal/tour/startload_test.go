package tour_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// The host's packets and those for it come while the daemon starts: from the first
// one that it takes there is a device at the other end.
func TestStartUnderTraffic(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			tr := newTour(t, tour.Options{Driver: "af_packet", Workers: workers})
			sending, cancel := context.WithCancel(t.Context())
			var senders sync.WaitGroup
			defer senders.Wait()
			defer cancel()
			for _, f := range families {
				lab.Need(t, tr.Router.Reaches(sending, f.node, lab.Ping{Timeout: 5 * time.Second}))
				for to, from := range map[string]*lab.Namespace{f.node: tr.Router, f.gateway: tr.Node} {
					conn, err := from.DialUDP(netip.AddrPortFrom(netip.MustParseAddr(to), 9))
					lab.Need(t, err)
					senders.Go(func() { keepSending(sending, conn) })
				}
			}
			ctx, c := start(t, tr)
			wantNoErrors(t, ctx, c, "interface has no device")
		})
	}
}

// keepSending sends a datagram every 50 us, as far as the host can.
func keepSending(ctx context.Context, conn *net.UDPConn) {
	defer func() { _ = conn.Close() }()
	for ctx.Err() == nil {
		_, _ = conn.Write([]byte("while it starts")) // there is no route for a moment
		time.Sleep(50 * time.Microsecond)
	}
}
