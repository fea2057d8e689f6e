package bench

import (
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// masqueradeConfig has pods leave with the node's addresses; masqueradeRules is
// what the kernel does it by.
const (
	masqueradeConfig = "routes: [blackhole " + lab.PodBlock + ", blackhole " + lab.PodBlock6 + "]\n" +
		"nat: {pools: [{cidr: 10.244.0.0/16, outgoing: true}, {cidr: '" + lab.PodBlock6 + "', outgoing: true}]}\n"
	masqueradeRules = "table inet bench {\n chain post {\n  type nat hook postrouting priority srcnat\n" +
		"  ip saddr 10.244.0.0/16 oifname " + lab.Uplink + " masquerade\n" +
		"  ip6 saddr " + lab.PodBlock6 + " oifname " + lab.Uplink + " masquerade\n }\n}\n"
)

// BenchmarkUplink is BenchmarkPods between a pod and a remote host behind a
// router, over the wire of BenchmarkWire: by each driver, and with the pods'
// addresses translated to the node's.
func BenchmarkUplink(b *testing.B) {
	kernel := kernelNode(b, lab.ForTest(b))
	for _, c := range []struct {
		driver        string
		loads, loads6 []load
	}{
		{"af_packet", []load{small(1), small(2), segments, connects, asks, roundTrip, loaded}, []load{small(1), connects, roundTrip}},
		{"af_xdp", []load{small(1), small(2), connects, roundTrip, loaded}, []load{small(1), roundTrip}},
	} {
		b.Run("driver="+c.driver+"/with=none", func(b *testing.B) {
			skein := startWired(b, tour.Options{Driver: c.driver}).Reference
			b.Run("way=in", func(b *testing.B) { families(b, skein, kernel, inward, c.loads, c.loads6) })
			b.Run("way=out", func(b *testing.B) { families(b, skein, kernel, outward, c.loads, c.loads6) })
			b.Run("family=4/cpus=awake", func(b *testing.B) {
				awake(b)
				b.Run("way=in", func(b *testing.B) { facing(b, inward(skein, false), inward(kernel, false), []load{roundTrip, loaded}) })
				b.Run("way=out", func(b *testing.B) {
					facing(b, outward(skein, false), outward(kernel, false), []load{roundTrip, loaded})
				})
			})
		})
	}
	b.Run("driver=af_packet/with=masquerade", func(b *testing.B) {
		nft(b, kernel.Node, masqueradeRules)
		skein := startWired(b, tour.Options{Driver: "af_packet", Config: masqueradeConfig}).Reference
		b.Run("way=out", func(b *testing.B) {
			families(b, skein, kernel, outward, []load{tcp(1), tcp(4), small(1), connects, asks, roundTrip}, []load{small(1), connects})
		})
	})
}

// inward and outward are the paths between a pod and the remote host.
func inward(r *lab.Reference, six bool) path {
	return pathTo(r.Remote, r.PodA, map[bool]string{false: lab.PodAddr, true: lab.PodAddr6}[six])
}

func outward(r *lab.Reference, six bool) path {
	return pathTo(r.PodA, r.Remote, map[bool]string{false: lab.RemoteAddr, true: lab.RemoteAddr6}[six])
}

// families measures loads along a path of each family.
func families(b *testing.B, skein, kernel *lab.Reference, way func(r *lab.Reference, six bool) path, loads, loads6 []load) {
	b.Run("family=4", func(b *testing.B) { facing(b, way(skein, false), way(kernel, false), loads) })
	b.Run("family=6", func(b *testing.B) { facing(b, way(skein, true), way(kernel, true), loads6) })
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
	b.Run("way=out/cpus=awake", func(b *testing.B) {
		awake(b)
		facing(b, pathTo(skein.PodA, skein.Node, lab.NodeAddr), pathTo(kernel.PodA, kernel.Node, lab.NodeAddr), []load{roundTrip})
	})
}

// startWired is startSkein, at a wire of single packets.
func startWired(b *testing.B, opts tour.Options) *tour.Tour {
	b.Helper()
	return startPrepared(b, opts, func(r *lab.Reference) { wired(b, r) })
}
