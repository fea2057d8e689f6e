package cni_test

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// TestQueues: a pod's TUN has a queue for each worker, but for one that was made
// with one queue: that keeps it, over restarts, until the pod is made anew.
func TestQueues(t *testing.T) {
	r := newRig(t)
	a, b := r.pod("a"), r.pod("b")
	list := r.list("1.1.0", dualStack, "", "")
	has := map[string]uint32{}
	check := func(step string) {
		t.Helper()
		m, err := r.client().ListInterfaces(r.ctx, &skeinpb.ListInterfacesRequest{})
		lab.Need(t, err)
		for _, i := range m.Interfaces {
			if want := has[i.Peer.Workload.GetName()]; i.Driver.Queues != want {
				t.Errorf("%s: %s has %d queues, want %d: %s", step, i.Peer.Workload.GetName(), i.Driver.Queues, want, i.Driver.Detail)
			}
			for _, addr := range i.Peer.Addresses {
				from := map[string]*lab.Namespace{"a": b, "b": a}[i.Peer.Workload.GetName()]
				lab.Need(t, from.Reaches(r.ctx, netip.MustParsePrefix(addr).Addr().String(), ping()))
			}
		}
	}
	again := func(workers string, sig syscall.Signal) {
		r.kill(sig)
		r.config("workers: {count: " + workers + "}\n")
		r.start()
	}
	r.add(list, runtime("a", a))
	again("2", syscall.SIGTERM)
	r.add(list, runtime("b", b))
	has["a"], has["b"] = 1, 2
	check("two workers")
	again("1", syscall.SIGKILL)
	has["b"] = 1
	check("one worker")
	again("4", syscall.SIGKILL)
	has["b"] = 4
	check("four workers")
	r.del(list, runtime("a", a))
	r.add(list, runtime("a", a))
	has["a"] = 4
	check("made anew")
	r.del(list, runtime("a", a))
	r.del(list, runtime("b", b))
	r.nothingLeft(a, b)
}
