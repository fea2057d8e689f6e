package bench

import (
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// masqueradeConfig has pods leave with the node's address; masqueradeRules is
// what the kernel does it by.
const (
	masqueradeConfig = "routes: [blackhole " + lab.PodBlock + ", blackhole " + lab.PodBlock6 + "]\n" +
		"nat: {pools: [{cidr: 10.244.0.0/16, outgoing: true}]}\n"
	masqueradeRules = "table ip bench {\n chain post {\n  type nat hook postrouting priority srcnat\n" +
		"  ip saddr 10.244.0.0/16 oifname " + lab.Uplink + " masquerade\n }\n}\n"
)

// BenchmarkUplink is BenchmarkPods between a pod and a remote host behind a
// router, over the wire of BenchmarkWire: by each driver, and with the pods'
// addresses translated to the node's.
func BenchmarkUplink(b *testing.B) {
	kernel := kernelNode(b, lab.ForTest(b))
	for _, c := range []struct {
		driver string
		loads  []load
	}{
		{"af_packet", []load{small(1), small(2), segments, connects, asks, roundTrip, loaded}},
		{"af_xdp", []load{small(1), small(2), connects, roundTrip, loaded}},
	} {
		b.Run("driver="+c.driver+"/with=none", func(b *testing.B) {
			skein := startWired(b, tour.Options{Driver: c.driver})
			b.Run("way=in", func(b *testing.B) {
				facing(b, pathTo(skein.Remote, skein.PodA, lab.PodAddr), pathTo(kernel.Remote, kernel.PodA, lab.PodAddr), c.loads)
			})
			b.Run("way=out", func(b *testing.B) {
				facing(b, pathTo(skein.PodA, skein.Remote, lab.RemoteAddr), pathTo(kernel.PodA, kernel.Remote, lab.RemoteAddr), c.loads)
			})
		})
	}
	b.Run("driver=af_packet/with=masquerade/way=out", func(b *testing.B) {
		nft(b, kernel.Node, masqueradeRules)
		skein := startWired(b, tour.Options{Driver: "af_packet", Config: masqueradeConfig})
		facing(b, pathTo(skein.PodA, skein.Remote, lab.RemoteAddr), pathTo(kernel.PodA, kernel.Remote, lab.RemoteAddr),
			[]load{tcp(1), tcp(4), small(1), connects, asks, roundTrip})
	})
}

// BenchmarkHost is BenchmarkPods between a pod and its own node, whose kernel has
// Skein's TAP at its end, or the pod's veth.
func BenchmarkHost(b *testing.B) {
	kernel := kernelNode(b, lab.ForTest(b))
	skein := startWired(b, tour.Options{Driver: "af_packet"})
	loads := []load{tcp(1), tcp(4), small(1), segments, connects, roundTrip}
	b.Run("way=in", func(b *testing.B) {
		facing(b, pathTo(skein.Node, skein.PodA, lab.PodAddr), pathTo(kernel.Node, kernel.PodA, lab.PodAddr), loads)
	})
	b.Run("way=out", func(b *testing.B) {
		facing(b, pathTo(skein.PodA, skein.Node, lab.NodeAddr), pathTo(kernel.PodA, kernel.Node, lab.NodeAddr), loads)
	})
}

// startWired is startSkein, at a wire of single packets.
func startWired(b *testing.B, opts tour.Options) *tour.Tour {
	b.Helper()
	return startPrepared(b, opts, func(r *lab.Reference) { wired(b, r) })
}
