package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/bench/traffic"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// BenchmarkWire measures TCP between a pod and a remote host behind a router,
// over a wire that carries packets of 1,500 bytes, as a NIC's does: none of the
// veth pairs' ends may send superpackets. The rival is a node that routes by
// the kernel between the same wire, with GRO, and a pod on a veth pair.
func BenchmarkWire(b *testing.B) {
	l := lab.ForTest(b)
	kernel := kernelNode(b, l)
	for _, driver := range []string{"af_packet", "af_xdp"} {
		skein := startWired(b, tour.Options{Driver: driver})
		b.Run("driver="+driver+"/way=in", func(b *testing.B) {
			facing(b, inward(skein.Reference, false), inward(kernel, false), bulk)
		})
		b.Run("driver="+driver+"/way=out", func(b *testing.B) {
			facing(b, outward(skein.Reference, false), outward(kernel, false), bulk)
		})
	}
}

// BenchmarkGRO measures what gro brings: TCP from the wire to a pod, and the
// worker's time for each datagram that arrives from pod to pod, with gro and
// without, in turns.
func BenchmarkGRO(b *testing.B) {
	skein := startWired(b, tour.Options{Driver: "af_xdp"})
	for _, streams := range []int{1, 4} {
		b.Run(fmt.Sprintf("driver=af_xdp/way=in/streams=%d", streams), func(b *testing.B) {
			for b.Loop() {
				with := func(on bool) float64 {
					coalesce(b, skein, on)
					return tcp(streams).run(b, inward(skein.Reference, false))[0]
				}
				rivals(b, "Gbit/s", "without", func() float64 { return with(true) }, func() float64 { return with(false) })
			}
		})
	}
	b.Run("way=pods/size=1200", func(b *testing.B) {
		for b.Loop() {
			with := func(on bool) float64 {
				coalesce(b, skein, on)
				before := cpuTime(b, skein.PID())
				f := flood(b, pathTo(skein.PodA, skein.PodB, lab.OtherPodAddr), traffic.UDP{Size: 1200})
				return float64((cpuTime(b, skein.PID()) - before).Microseconds()) / float64(f.Received)
			}
			rivals(b, "worker-µs", "without", func() float64 { return with(true) }, func() float64 { return with(false) })
		}
	})
	coalesce(b, skein, true)
}

// coalesce switches gro on or off at all of the daemon's TUNs.
func coalesce(b *testing.B, t *tour.Tour, on bool) {
	b.Helper()
	c, err := t.Client(b.Context())
	lab.Need(b, err)
	defer c.Close()
	list, err := c.ListInterfaces(b.Context(), &pb.ListInterfacesRequest{})
	lab.Need(b, err)
	for _, i := range list.Interfaces {
		if i.Kind != pb.InterfaceKind_INTERFACE_KIND_TUN {
			continue
		}
		_, err := c.SetInterface(b.Context(), &pb.SetInterfaceRequest{Name: i.Name,
			Features: []*pb.FeatureChange{{Arc: "interface-output", Feature: "gro", Enable: on}}})
		lab.Need(b, err)
	}
}

// kernelNode builds the reference topology with a node that routes by the
// kernel, and a pod on a veth pair.
func kernelNode(b *testing.B, l *lab.Lab) *lab.Reference {
	b.Helper()
	r, err := l.Reference(lab.Wanted{StaticRoutes: true})
	lab.Need(b, err)
	lab.Need(b, r.Node.Sysctl("net.ipv4.ip_forward", "1"))
	lab.Need(b, r.Node.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	lab.Need(b, lab.Join(lab.End{NS: r.Node, Link: "pod-a", Addrs: []string{"169.254.1.1/32", "fe80::1/64"}},
		lab.End{NS: r.PodA, Link: "eth0", Addrs: []string{lab.PodAddr + "/32", lab.PodAddr6 + "/128"}}))
	lab.Need(b, r.Node.Route(lab.PodAddr+"/32", "", "pod-a"))
	lab.Need(b, r.Node.Route(lab.PodAddr6+"/128", "", "pod-a"))
	lab.Need(b, r.PodA.Route("default", "169.254.1.1", "eth0"))
	lab.Need(b, r.PodA.Route("default6", "fe80::1", "eth0"))
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
	defer cancel()
	lab.Need(b, r.PodA.AwaitAddrs(ctx))
	wired(b, r)
	return r
}

// wired makes the veth pair between router and node a wire of single packets:
// neither end may send superpackets, and each joins what it receives.
func wired(b *testing.B, r *lab.Reference) {
	b.Helper()
	lab.Need(b, r.Router.Offload(b.Context(), "port1", false, "tso", "gso"))
	lab.Need(b, r.Router.Offload(b.Context(), "port1", true, "gro"))
	lab.Need(b, r.Node.Offload(b.Context(), lab.Uplink, false, "tso", "gso"))
	lab.Need(b, r.Node.Offload(b.Context(), lab.Uplink, true, "gro"))
}
