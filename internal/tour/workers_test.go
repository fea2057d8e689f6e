package tour_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// workersObjects is a service of pod-b, by a NodePort as well.
func workersObjects() string {
	return twoFamilies("web", "10.96.0.1", "2001:db8:96::1", "  type: NodePort\n"+ports(30001), here, here6, 8080)
}

// Two workers share the flows of pods, the host and the outside: with policy, a
// service and masquerading, over TCP and UDP, with fragments and pings.
func TestWorkers(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			w := newServices(t, tour.Options{Driver: driver, Workers: 2}, workersObjects())
			c, err := w.Client(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			apply(t, c, "who.yaml", onlyFrom("all()")+onlyFromOutside)
			w.tell(t, w.PodB, "b", 8080)
			w.tell(t, w.Remote, "remote", 8080)
			w.manyFlows(t)
			if _, err := c.ClearCounters(w.ctx, &pb.ClearCountersRequest{Errors: true}); err != nil { // of the start
				t.Fatal(err)
			}
			before := buffersInUse(t, c)
			w.manyFlows(t)
			w.shared(t, c)
			w.eventually(t, "no buffer is lost", func() error {
				// Sockets may keep some more ready to receive into than before.
				if after := buffersInUse(t, c); after > before+16 {
					return fmt.Errorf("%d are in use, %d were before", after, before)
				}
				return nil
			})
			w.idles(t)
		})
	}
}

// onlyFromOutside lets pod-b be reached from outside, as by a NodePort.
const onlyFromOutside = `
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: outside, namespace: default}
spec:
  selector: app == 'b'
  types: [Ingress]
  ingress: [{action: Allow, source: {notNets: [10.244.0.0/16]}}, {action: Allow, source: {notNets: ['2001:db8:244::/56']}}]
`

// manyFlows opens flows on each way, in both families at once.
func (w *servicesWorld) manyFlows(t *testing.T) {
	t.Helper()
	const flows = 12 // with two workers, all of a way are one's with a chance of 1 in 2048
	var wg sync.WaitGroup
	for _, f := range []struct{ vip, pod, node, other, remote string }{
		{"10.96.0.1", lab.PodAddr, lab.NodeAddr, lab.OtherPodAddr, lab.RemoteAddr},
		{"2001:db8:96::1", lab.PodAddr6, lab.NodeAddr6, lab.OtherPodAddr6, lab.RemoteAddr6},
	} {
		at := func(a string, port uint16) string { return netip.AddrPortFrom(netip.MustParseAddr(a), port).String() }
		for _, way := range []struct {
			from       *lab.Namespace
			addr, want string
		}{
			{w.PodA, at(f.vip, 80), "b " + f.pod},
			{w.PodA, at(f.other, 8080), "b " + f.pod},
			{w.PodA, at(f.remote, 8080), "remote " + f.node}, // masqueraded
			{w.Remote, at(f.node, 30001), "b " + f.remote},
			{w.Node, at(f.vip, 80), "b " + f.node},
		} {
			wg.Go(func() {
				for range flows {
					w.wants(t, way.from, way.addr, way.want)
				}
			})
		}
		wg.Go(func() {
			for range flows / 2 { // each with an identifier of its own
				if err := w.PodA.Reaches(w.ctx, f.remote, lab.Ping{Count: 1}); err != nil {
					t.Errorf("ping: %v", err)
				}
			}
		})
		wg.Go(func() { w.fragments(t, at(f.remote, 0)) })
	}
	wg.Wait()
}

// fragments sends datagrams that take several packets, and wants them back.
func (w *servicesWorld) fragments(t *testing.T, remote string) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	at, err := w.Remote.Echo(ctx, netip.MustParseAddrPort(remote))
	if err != nil {
		t.Error(err)
		return
	}
	for range 8 {
		if n, err := w.PodA.Asks(ctx, at, 3, 4000, 3*time.Second); n != 3 || err != nil {
			t.Errorf("fragments to %s: %d of 3 came back, %v", at, n, err)
		}
	}
}

// shared wants both workers to have done their part, each with sessions of its
// own.
func (w *servicesWorld) shared(t *testing.T, c *api.Client) {
	t.Helper()
	m, err := c.ListWorkers(w.ctx, &pb.ListWorkersRequest{})
	if err != nil || len(m.Workers) != 2 {
		t.Fatalf("workers: %v, %v", m, err)
	}
	for _, x := range m.Workers {
		if x.RxPackets == 0 || x.Handed == 0 || len(x.Queues) < 3 || x.Thread == 0 {
			t.Errorf("worker: %v", x)
		}
	}
	parts, err := c.ListSessions(w.ctx, &pb.ListSessionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var at [2]int
	for {
		part, err := parts.Recv()
		if err != nil {
			break
		}
		for _, s := range part.Sessions {
			at[s.Worker]++
		}
	}
	if at[0] == 0 || at[1] == 0 {
		t.Errorf("sessions: %v", at)
	}
	errs, err := c.GetErrors(w.ctx, &pb.GetErrorsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range errs.Errors {
		if strings.Contains(e.Reason, "undecided") || strings.Contains(e.Reason, "no device") || strings.Contains(e.Reason, "behind") {
			t.Errorf("lost: %v", e)
		}
	}
}

func buffersInUse(t *testing.T, c *api.Client) (n int64) {
	t.Helper()
	m, err := c.GetBuffers(t.Context(), &pb.GetBuffersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Pools {
		n += int64(p.Total) - int64(p.Free)
	}
	return n
}

// idles wants workers without traffic to sleep: two that polled would use two
// seconds of CPU time in one.
func (w *servicesWorld) idles(t *testing.T) {
	t.Helper()
	pid, err := w.DataPlane()
	if err != nil {
		t.Fatal(err)
	}
	w.eventually(t, "idle", func() error {
		before := ticksOf(t, pid)
		time.Sleep(time.Second)
		if used := ticksOf(t, pid) - before; used > 25 {
			return fmt.Errorf("the daemon has used %d ms of a second", used*10)
		}
		return nil
	})
}

// ticksOf returns the CPU time of a process in hundredths of a second
// (proc_pid_stat(5), utime and stime).
func ticksOf(t *testing.T, pid int) (ticks int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return ticks
}

// Connections live on when a data plane with two workers replaces one with two,
// those that are translated as well.
func TestWorkersReplaced(t *testing.T) {
	w := newServices(t, tour.Options{Workers: 2}, workersObjects())
	talks := w.converseAll(t)
	for range 2 {
		if err := w.Upgrade(w.ctx); err != nil {
			t.Fatal(err)
		}
		for _, talk := range talks {
			progress(t, "one of the connections", talk)
		}
	}
	for _, talk := range talks {
		if err := talk.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// converseAll begins several conversations by a service, and to the outside.
func (w *servicesWorld) converseAll(t *testing.T) (talks []*lab.Talk) {
	t.Helper()
	for range 4 {
		talks = append(talks, converse(t, w.ctx, w.PodA, w.Remote, lab.RemoteAddr, lab.RemoteAddr6)...)
	}
	for _, x := range []struct{ addr, by string }{{lab.OtherPodAddr, "10.96.0.1"}, {lab.OtherPodAddr6, "2001:db8:96::1"}} {
		talk, err := lab.StartTalkBy(w.ctx, w.PodA, w.PodB, netip.MustParseAddrPort(net.JoinHostPort(x.addr, "8080")), netip.MustParseAddrPort(net.JoinHostPort(x.by, "80")))
		if err != nil {
			t.Fatal(err)
		}
		talks = append(talks, talk)
	}
	return talks
}

// The number of workers changes at a reload. Connections that are not translated
// go on, and new ones are possible at once, of any kind.
func TestWorkersChanged(t *testing.T) {
	w := newServices(t, tour.Options{Workers: 1}, workersObjects())
	c, err := w.Client(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	apply(t, c, "who.yaml", onlyFrom("all()"))
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Remote, "remote", 8080)
	var talks []*lab.Talk
	for range 4 {
		talks = append(talks, converse(t, w.ctx, w.PodA, w.PodB, lab.OtherPodAddr, lab.OtherPodAddr6)...)
	}
	cpu := allowedCPU(t)
	was := "count: 1"
	for _, step := range []struct {
		config  string
		workers int
		stays   bool
	}{{"count: 2", 2, false}, {fmt.Sprintf("cpus: %d", cpu), 1, true}} {
		w.setWorkers(t, was, step.config)
		was = step.config
		if err := w.Upgrade(w.ctx); err != nil {
			t.Fatal(err)
		}
		for _, talk := range talks {
			progress(t, "one of the connections, with "+step.config, talk)
		}
		m, err := c.ListWorkers(w.ctx, &pb.ListWorkersRequest{})
		if err != nil || len(m.Workers) != step.workers {
			t.Fatalf("%s: %v, %v", step.config, m, err)
		}
		if x := m.Workers[0]; (x.Stays != nil) != step.stays || step.stays && (*x.Stays != cpu || x.Cpu != cpu) {
			t.Errorf("%s: %v", step.config, x)
		}
		w.wants(t, w.PodA, "10.96.0.1:80", "b "+lab.PodAddr)
		w.wants(t, w.PodA, "[2001:db8:96::1]:80", "b "+lab.PodAddr6)
		w.wants(t, w.PodA, lab.RemoteAddr+":8080", "remote "+lab.NodeAddr)
	}
	for _, talk := range talks {
		if err := talk.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// allowedCPU returns a CPU that this process may use.
func allowedCPU(t *testing.T) (cpu uint32) {
	t.Helper()
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	for !may.IsSet(int(cpu)) {
		cpu++
	}
	return cpu
}

// setWorkers changes the workers that the configuration asks for.
func (w *servicesWorld) setWorkers(t *testing.T, was, is string) {
	t.Helper()
	text := readText(t, w.Config)
	next := strings.Replace(text, "workers: {"+was+"}", "workers: {"+is+"}", 1)
	if next == text {
		t.Fatalf("the configuration does not ask for workers with %s", was)
	}
	if err := os.WriteFile(w.Config, []byte(next), 0o644); err != nil {
		t.Fatal(err)
	}
}
