package cni_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// envCycles says how many cycles TestCycles goes through; 200 if empty, as a
// thousand take half a minute.
const envCycles = "SKEIN_CNI_CYCLES"

// holdings are what a daemon could leak.
type holdings struct {
	fds, threads, routes, ifaces int
	buffers                      uint64
	rss                          int // KiB
}

func (r *rig) holdings() (h holdings) {
	r.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", r.daemon.PID())
	fds, err := filepath.Glob(proc + "fd/*")
	lab.Need(r.t, err)
	h.fds = len(fds)
	h.threads, h.rss = statusOf(r.t, proc, "Threads:"), statusOf(r.t, proc, "VmRSS:")
	c := r.client()
	defer c.Close()
	ifaces, err := c.ListInterfaces(r.ctx, &skeinpb.ListInterfacesRequest{})
	lab.Need(r.t, err)
	h.ifaces = len(ifaces.Interfaces)
	routes, err := c.ListRoutes(r.ctx, &skeinpb.ListRoutesRequest{})
	lab.Need(r.t, err)
	for {
		part, err := routes.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		lab.Need(r.t, err)
		h.routes += len(part.Routes)
	}
	pools, err := c.GetBuffers(r.ctx, &skeinpb.GetBuffersRequest{})
	lab.Need(r.t, err)
	for _, p := range pools.Pools {
		h.buffers += p.Used
	}
	return h
}

// statusOf returns a number of /proc/PID/status.
func statusOf(t testing.TB, proc, key string) int {
	t.Helper()
	f, err := os.Open(proc + "status")
	lab.Need(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), key); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			lab.Need(t, err)
			return n
		}
	}
	t.Fatalf("%sstatus has no %s", proc, key)
	return 0
}

// TestCycles: pods come and go, and nothing of them stays.
func TestCycles(t *testing.T) {
	cycles := 200
	if text := os.Getenv(envCycles); text != "" {
		var err error
		cycles, err = strconv.Atoi(text)
		lab.Need(t, err)
	}
	t.Setenv("GOGC", "100") // the daemon's own lets the heap grow to five times of what lives
	r := newRig(t)
	pod := r.pod("pod")
	list := r.list("1.1.0", dualStack, "", "")
	cycle := func(n int) {
		for i := range n {
			rt := runtime(fmt.Sprint("c", i), pod)
			if i%4 == 3 {
				rt = ethernet(rt.ContainerID, pod)
			}
			r.add(list, rt)
			r.del(list, rt)
		}
	}
	cycle(20) // what is made once is there now
	before := r.holdings()
	cycle(cycles)
	r.nothingLeft(pod)
	after := r.holdings()
	t.Logf("%d cycles: before %+v, after %+v", cycles, before, after)
	if after.fds > before.fds+2 || after.ifaces != before.ifaces || after.routes != before.routes || after.buffers != before.buffers {
		t.Error("something is left")
	}
	// Threads that the runtime keeps for later, and a heap that breathes, are
	// bounded, at twice what it starts with on a machine that is busy; a leak is
	// not. 16 KiB for each cycle would be one that 1,000 cycles show.
	if after.threads > before.threads+16 || after.rss > before.rss+16384+8*cycles {
		t.Error("threads or memory grow")
	}
}
