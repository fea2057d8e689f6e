package server

import (
	"testing"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
)

// TestDeaths checks that a packet whose sender is answered is counted once,
// whatever becomes of the answer.
func TestDeaths(t *testing.T) {
	all := []graph.NodeStats{
		{Name: "ip4-lookup", Packets: 10, Arcs: []graph.ArcStats{
			{Reason: "forward", Node: "ip4-rewrite", Count: 5},
			{Reason: "ip4 no route", Node: "icmp4-error", Count: 3, Drop: true},
			{Reason: "ip4 destination blackholed by route", Node: graph.Drop, Count: 2, Drop: true}}},
		{Name: "icmp4-error", Packets: 3, Arcs: []graph.ArcStats{
			{Reason: "icmp error sent", Node: "ip4-lookup", Count: 1},
			{Reason: "icmp error rate limit", Node: graph.Drop, Count: 2, Drop: true}}},
		{Name: graph.Drop, Packets: 4},
	}
	if n := died(all); n != 5 {
		t.Errorf("%d died, want 5", n)
	}
	if n := sent(graph.NodeStats{Packets: 7, Arcs: []graph.ArcStats{{Count: 2}}}); n != 5 {
		t.Errorf("%d sent, want 5", n)
	}
}

// TestNoLossIsSilent checks that whatever a port and its queues count as lost
// has a reason, and is an error unless somebody has wanted it.
func TestNoLossIsSilent(t *testing.T) {
	st := graph.PortStats{PortCounters: graph.PortCounters{TxFull: 1}, Queues: []drivers.Stats{
		{RxErrors: 2, RxDropped: 3, RxNoBufs: 4, TxErrors: 5, RxDenied: 6, RxLimited: 7}, {RxErrors: 10, RxDropped: 10, RxNoBufs: 10, TxErrors: 10, RxDenied: 10, RxLimited: 10}}}
	got := append(driverLosses(3, 7, "tun0", st), fullLoss(3, 7, "tun0", st))
	want := []loss{
		{lossKey{3, 7, "tun0", "packet could not be received whole"}, pb.Severity_SEVERITY_ERROR, 12},
		{lossKey{3, 7, "tun0", "kernel dropped before reception"}, pb.Severity_SEVERITY_ERROR, 13},
		{lossKey{3, 7, "tun0", "no free buffer to receive into"}, pb.Severity_SEVERITY_ERROR, 14},
		{lossKey{3, 7, "tun0", "kernel refused to send"}, pb.Severity_SEVERITY_ERROR, 15},
		{lossKey{3, 7, "tun0", "source is on the deny list (XDP)"}, pb.Severity_SEVERITY_WARNING, 16},
		{lossKey{3, 7, "tun0", "receive rate limit exceeded (XDP)"}, pb.Severity_SEVERITY_WARNING, 17},
		{lossKey{3, 7, "tun0-tx", "device has no room"}, pb.Severity_SEVERITY_ERROR, 1},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
}
