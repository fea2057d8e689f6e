package policy_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/skein-dataplane/skein/policy"
)

// TestForgets: a workload that is gone leaves nothing behind, whatever its
// labels were. A node sees many thousands in its life.
func TestForgets(t *testing.T) {
	e := policy.New(policy.Options{})
	load(t, e, scenario(t, "frontend-backend.yaml"))
	comeAndGo := func(from, to int) (objects int) {
		for i := from; i < to; i++ {
			id := fmt.Sprint("pod", i)
			err := e.SetWorkload(policy.Workload{ID: id, Namespace: fmt.Sprint("ns", i), Name: id, Labels: map[string]string{"app": "backend", "only": id},
				Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}, Local: true, Interface: id})
			if err != nil {
				t.Fatal(err)
			}
			commit(t, e)
			e.RemoveWorkload(id)
			commit(t, e)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapObjects)
	}
	before := comeAndGo(0, 200)
	if after := comeAndGo(200, 1200); after > before+500 {
		t.Errorf("%d objects after 200 workloads, %d after 1,200", before, after)
	}
	runtime.KeepAlive(e)
}
