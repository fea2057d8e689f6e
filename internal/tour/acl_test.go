package tour_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// lists keep pod-a from sending to the remote host, and pod-b from receiving
// from anybody but pod-a.
const lists = `
acls:
  - interface: tun0
    in: [deny to net ` + lab.RemoteAddr + `/32, deny to net ` + lab.RemoteAddr6 + `/128, allow]
  - interface: tun1
    out: [allow icmp from net ` + lab.PodAddr + `/32, allow icmpv6 from net ` + lab.PodAddr6 + `/128]
`

// Access lists hold without any policy, both ways and in both families, for
// answers as well; they make no sessions, and their hits are shown.
func TestAccessLists(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet", Config: lists})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []struct{ a, b, remote, node string }{
		{lab.PodAddr, lab.OtherPodAddr, lab.RemoteAddr, lab.NodeAddr},
		{lab.PodAddr6, lab.OtherPodAddr6, lab.RemoteAddr6, lab.NodeAddr6},
	} {
		for _, way := range []struct {
			from  *lab.Namespace
			to    string
			opens bool
		}{
			{tr.PodA, addr.b, true}, {tr.PodB, addr.a, true}, {tr.PodA, addr.node, true}, {tr.Node, addr.a, true},
			{tr.PodA, addr.remote, false}, {tr.Remote, addr.a, false}, // by what pod-a may send
			{tr.Remote, addr.b, false}, {tr.PodB, addr.remote, false}, {tr.Node, addr.b, false}, // by what pod-b may receive
		} {
			opens(t, ctx, way.from, way.to, way.opens)
		}
	}
	client, err := tr.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := client.ListEndpoints(ctx, &skeinpb.ListEndpointsRequest{})
	if err != nil || len(ends.Endpoints) != 2 {
		t.Fatalf("shown: %v, %v", ends, err)
	}
	for i, gate := range []string{"access list in", "access list out"} {
		x := ends.Endpoints[i]
		if x.Closed || len(x.Gates) != 1 || x.Gates[0].Name != gate {
			t.Fatalf("shown: %v", x)
		}
		for _, r := range x.Gates[0].Tiers[0].Policies[0].Rules {
			if r.Hits == 0 {
				t.Errorf("%s, %s: no hits of %s", x.Interface, gate, r.Text)
			}
		}
	}
	why, err := client.Explain(ctx, &skeinpb.ExplainRequest{Packet: &skeinpb.ExplainRequest_Line{Line: lab.RemoteAddr + " > " + lab.OtherPodAddr + ": udp 1 > 2"}})
	if err != nil || !strings.Contains(why.Verdict, "access list denies") {
		t.Errorf("explained: %v, %v", why, err)
	}
}
