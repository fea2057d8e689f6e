package server

import (
	"strings"
	"testing"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/state"
)

// world has an Ethernet uplink and a TUN.
var world = &state.State{Ifaces: []iface.Iface{{}, {Name: "host-eth0", Ethernet: true}, {Name: "tun0"}}}

// record is a visit to a node with a packet as a line, from the header that
// the line begins with on.
func record(t *testing.T, id uint64, node, reason, next, line string, l3 int) graph.Record {
	t.Helper()
	p, err := pktline.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	r := graph.Record{Packet: id, Node: node, Reason: reason, Next: next, Now: int64(1000 + id), State: world,
		Meta: buf.Buffer{RxIf: 2}, L3: l3, Len: len(p), Bytes: p[:min(len(p), 128)]}
	if l3 != 0 {
		r.Meta.RxIf = 1
	}
	return r
}

// text writes traced packets as lines, for comparison.
func text(all []*pb.TracedPacket) string {
	var w strings.Builder
	for _, p := range all {
		w.WriteString(p.Interface + "\n")
		for _, r := range p.Records {
			w.WriteString("  " + r.Node + " (" + r.Reason + ") -> " + r.Next + "\n")
			for _, d := range r.Details {
				w.WriteString("    " + d + "\n")
			}
		}
	}
	return w.String()
}

func TestTracedPackets(t *testing.T) {
	const (
		echo  = "10.1.0.5 > 192.0.2.1: icmp echo-request id 1 seq 1 ttl 64 len 56"
		last  = "10.1.0.5 > 192.0.2.1: icmp echo-request id 1 seq 1 ttl 1 len 56"
		hop   = "10.1.0.5 > 192.0.2.1: icmp echo-request id 1 seq 1 ttl 63 len 56"
		link  = "02:00:00:00:00:01 > 02:00:00:00:00:02: "
		large = "10.1.0.5 > 192.0.2.1: tcp 1 > 2 flags A seq 1 ack 1 ttl 64 len 60000"
	)
	all := []graph.Record{ // those of two packets come mixed
		record(t, 1, "tun-input", "ip4", "ip4-input", echo, 0),
		record(t, 2, "ethernet-input", "bridged", "interface-output", link+echo, -64),
		record(t, 1, "ip4-rewrite", "interface-output", "interface-output", link+hop, hdr.EtherLen),
		record(t, 1, "uplink-output", "kept", "", link+hop, hdr.EtherLen),
		record(t, 3, "ip4-rewrite", "ip4 time to live exceeded", "icmp4-error", last, 0),
		record(t, 4, "ip4-lookup", "ip4 destination blackholed by route", "drop", large, 0),
		record(t, 4, "drop", "", "", large, 0),
		record(t, 5, "drop", "", "", echo, 0),
	}
	want := `tun0
  tun-input (ip4) -> ip4-input
    ` + echo + `
  ip4-rewrite (interface-output) -> interface-output
    ` + link + hop + `
  uplink-output (sent) -> 
host-eth0
  ethernet-input (bridged) -> interface-output
    ` + link + echo + `
tun0
  ip4-rewrite (ip4 time to live exceeded) -> icmp4-error
    the packet ends here: ip4 time to live exceeded; what goes on is an answer to its sender
    ` + last + `
tun0
  ip4-lookup (ip4 destination blackholed by route) -> drop
    ` + large + `
  drop () -> 
    dropped: ip4 destination blackholed by route, at ip4-lookup
tun0
  drop () -> 
    dropped: the trace began here, and does not know the reason
`
	if got := text(tracedPackets(all, 0)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := tracedPackets(all, 2); len(got) != 2 || got[0].Id != 1 || got[1].Id != 2 || got[0].Start.AsDuration() != 1001 {
		t.Errorf("%v, want the first two", got)
	}
}

// FuzzDecoded gives the decoder whatever a record may hold.
func FuzzDecoded(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 20}, 0, 20)
	f.Add([]byte{}, -64, 0)
	f.Add(make([]byte, 128), 14, 70000)
	f.Fuzz(func(_ *testing.T, p []byte, l3, n int) {
		r := graph.Record{State: world, Meta: buf.Buffer{RxIf: 1}, Bytes: p[:min(len(p), 128)], L3: l3, Len: n}
		decoded(&r)
		changed(&r, &graph.Record{})
	})
}
