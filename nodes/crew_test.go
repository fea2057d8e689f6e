package nodes_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// A crew is the graph with all its nodes at several workers, which take turns.
type crew struct {
	*graph.Workers
	world  *world
	pub    *state.Publisher
	queues [][]*memQueue // by worker and interface; nil where another worker sends
	rng    *rand.Rand
	single bool // each interface has one queue, at one of the workers
	drops  map[string]uint64
	now    int64
}

// newCrew returns n workers in the world of a text.
func newCrew(t testing.TB, n int, single bool, text string) *crew {
	t.Helper()
	pools, err := buf.NewPools(n, 6000*n, 64*n)
	if err != nil {
		t.Fatal(err)
	}
	c := &crew{world: newWorld(t, ""), pub: state.NewPublisher(), queues: make([][]*memQueue, n), single: single,
		rng: rand.New(rand.NewPCG(uint64(n), 7)), drops: map[string]uint64{}, now: int64(time.Hour)}
	c.world.state.Workers = n
	c.Workers, err = graph.NewWorkers(graph.Config{Specs: nodes.All(), Input: nodes.DeviceInputArc,
		Ether: nodes.EtherEntry, IP: nodes.IPEntry, Publisher: c.pub}, pools)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.reach()
		if err := errors.Join(c.Close(), pools[0].Arena().Close()); err != nil {
			t.Error(err)
		}
	})
	for i := range c.queues {
		c.queues[i] = make([]*memQueue, 1)
	}
	c.change(t, text)
	return c
}

// reach notes the arcs that packets have taken.
func (c *crew) reach() {
	reached.Lock()
	defer reached.Unlock()
	for _, w := range c.All() {
		for _, st := range w.Stats() {
			for _, a := range st.Arcs {
				if a.Count > 0 {
					reached.arcs[st.Name+": "+a.Reason] = true
				}
			}
		}
	}
}

// change applies lines to the world, and gives new interfaces queues.
func (c *crew) change(t testing.TB, text string) {
	t.Helper()
	st := c.world.edit(t, text)
	graphtest.Publish(t, c.pub, st)
	n := len(c.All())
	for i := len(c.queues[0]); i < len(st.Ifaces); i++ {
		for id, w := range c.All() {
			if c.single && i%n != id {
				c.queues[id] = append(c.queues[id], nil)
				if err := w.AddFarPort(uint32(i), i%n); err != nil {
					t.Fatal(err)
				}
				continue
			}
			q := &memQueue{ethernet: st.Ifaces[i].Ethernet}
			c.queues[id] = append(c.queues[id], q)
			if err := w.AddPort(uint32(i), []drivers.Queue{q}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range c.All() {
		for i, q := range c.world.rules.quotas {
			w.Flows.SetQuota(uint16(i), q)
		}
	}
}

// receive has an interface receive a packet, at one of the workers that have a
// queue of it; at is which, -1 any.
func (c *crew) receive(t testing.TB, name, text string, at int) {
	t.Helper()
	i := c.world.index[name]
	if i == 0 {
		t.Fatalf("no interface %q", name)
	}
	n := len(c.All())
	switch {
	case c.single:
		at = int(i) % n
	case at < 0:
		at = c.rng.IntN(n)
	}
	q := c.queues[at%n][i]
	p, err := receive(text, q.ethernet)
	if err != nil {
		t.Fatal(err)
	}
	q.rx = append(q.rx, p)
}

// advance lets time pass, and the workers take turns, in any order, until
// nothing is left to do.
func (c *crew) advance(t testing.TB, ns int64) {
	t.Helper()
	c.now += ns
	for idle := 0; idle < 8; idle++ { // a packet crosses four times at most
		order := c.rng.Perm(len(c.All()))
		for _, id := range order {
			if err := c.All()[id].RoundAt(c.now); err != nil {
				t.Fatal(err)
			}
		}
		for _, queues := range c.queues {
			for _, q := range queues {
				if q != nil && len(q.rx) > 0 {
					idle = -1
				}
			}
		}
	}
	c.balance(t)
}

// balance fails the test if a buffer is in no place, or a packet has ended
// without a reason.
func (c *crew) balance(t testing.TB) {
	t.Helper()
	all, free := 0, 0
	for _, w := range c.All() {
		s := w.Pool.Stats()
		all, free = all+s.Small+s.Large, free+s.SmallFree+s.LargeFree
	}
	if held := c.parked(); free+held != all {
		t.Fatalf("%d buffers, %d free, %d parked", all, free, held)
	}
	for _, w := range c.All() {
		var ended, reasons uint64
		for _, st := range w.Stats() {
			if st.Name == graph.Drop {
				ended = st.Packets
			}
			for _, a := range st.Arcs {
				if a.Node == graph.Drop && st.Name != graph.WorkerInput {
					reasons += a.Count
				}
			}
		}
		if ended != reasons {
			t.Fatalf("worker %d: %d packets have ended, %d with a reason", w.ID(), ended, reasons)
		}
	}
}

func (c *crew) parked() (n int) {
	for _, w := range c.All() {
		for _, s := range nodes.All() {
			if p, ok := w.Node(s.Name).(graphtest.Parker); ok {
				n += p.Parked()
			}
		}
	}
	return n
}

// sent returns what the interfaces have sent since the last call, sorted by
// interface; of one interface, by worker and then in order.
func (c *crew) sent() (out []string) {
	for i := 1; i < len(c.queues[0]); i++ {
		for _, queues := range c.queues {
			if q := queues[i]; q != nil {
				for _, s := range q.sent {
					out = append(out, c.world.state.Ifaces[i].Name+": "+s)
				}
				q.sent = nil
			}
		}
	}
	return out
}

// newDrops returns the drops of all workers since the last call.
func (c *crew) newDrops() (out []string) {
	sums := map[string]uint64{}
	for _, w := range c.All() {
		for _, st := range w.Stats() {
			for _, a := range st.Arcs {
				if a.Drop {
					sums[st.Name+": "+a.Reason] += a.Count
				}
			}
		}
	}
	for key, n := range sums {
		if n > c.drops[key] {
			out = append(out, fmt.Sprintf("%d %s", n-c.drops[key], key))
			c.drops[key] = n
		}
	}
	slices.Sort(out)
	return out
}

// handed returns how many packets workers have handed over to each other.
func (c *crew) handed() (n uint64) {
	for _, w := range c.All() {
		n += w.Load().Handed
	}
	return n
}

// differs says why a golden file can't be what several workers do.
var differs = map[string]string{
	"neighbor-resolved":     "each worker asks for itself",
	"neighbor-silent":       "each worker asks for itself",
	"ip6-neighbor-resolved": "each worker asks for itself",
	"ip6-neighbor-silent":   "each worker asks for itself",
	"traceroute":            "each worker has its own limit of errors",
	"ip6-traceroute":        "each worker has its own limit of errors",
	"nat-errors":            "ports are chosen so that answers are the worker's",
	"nat-masquerade":        "ports are chosen so that answers are the worker's",
	"dsr-hidden":            "ports are chosen so that answers are the worker's",
	"dsr-backend":           "ports are chosen so that answers are the worker's",
	"nat-service":           "ports are chosen so that answers are the worker's",
	"policy-quota":          "each worker has its own quota",
	"policy-own-source":     "a forged packet of a flow passes if the flow is there by then",
}

// TestGoldenWorkers sends the packets of the golden files through several
// workers: the same comes out as of one.
func TestGoldenWorkers(t *testing.T) {
	for _, n := range []int{2, 3} {
		for _, file := range goldenFiles(t) {
			name := goldenName(file)
			if differs[name] != "" {
				continue
			}
			t.Run(fmt.Sprintf("%s/workers=%d", name, n), func(t *testing.T) { goldenCrew(t, file, newCrew(t, n, true, "")) })
		}
	}
}

func goldenCrew(t *testing.T, file string, c *crew) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range a.Files {
		verb, arg, _ := strings.Cut(s.Name, " ")
		switch verb {
		case "config":
			c.change(t, string(s.Data))
			c.advance(t, 0)
		case "in":
			for text := range strings.Lines(string(s.Data)) {
				if text = strings.TrimSpace(text); text != "" && text[0] != '#' {
					c.receive(t, arg, text, -1)
				}
			}
		case "wait":
			d, err := time.ParseDuration(arg)
			if err != nil {
				t.Fatal(err)
			}
			c.advance(t, int64(d))
		case "out", "drops":
			c.advance(t, 0)
			got := c.sent
			if verb == "drops" {
				got = c.newDrops
			}
			if a, b := sorted(anyPlace.Replace(join(got()))), sorted(anyPlace.Replace(string(s.Data))); a != b {
				t.Errorf("%s: section %d, %s\ngot\n%s\nwant\n%s", file, i+1, s.Name, a, b)
			}
		}
	}
	for range 4 {
		c.advance(t, int64(time.Second))
	}
	if n := c.parked(); n != 0 {
		t.Errorf("%d packets parked after 4 s", n)
	}
}

// anyPlace stands for where fragments wait for their first.
var anyPlace = strings.NewReplacer("ip4-handoff: ", "ip4-session: ", "ip6-handoff: ", "ip6-session: ")

func sorted(lines string) string {
	l := strings.Split(lines, "\n")
	slices.Sort(l)
	return strings.TrimSpace(strings.Join(l, "\n"))
}
