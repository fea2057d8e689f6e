package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// natWords are the addresses of a family in the tests of workers and NAT.
type natWords struct{ pod1, pod2, net, pool, public, vip, twin, far, own, lb, static, one string }

var crewNAT = map[string]natWords{
	"ip4": {pod1: "10.1.0.7", pod2: "10.1.0.8", net: "8.8.8.", pool: "10.1.0.0/16", public: "9.9.9.9", vip: "10.96.0.10", twin: "10.96.0.11",
		far: "10.2.0.9", own: "192.0.2.10", lb: "203.0.113.5", static: "198.51.100.8", one: "192.0.2.99"},
	"ip6": {pod1: "fd00:1::7", pod2: "fd00:1::8", net: "2001:db8:99::", pool: "fd00:1::/64", public: "2001:db8:9::9", vip: "fd00:96::10", twin: "fd00:96::11",
		far: "fd00:2::9", own: "2001:db8::10", lb: "2001:db8:113::5", static: "2001:db8:198::8", one: "2001:db8::99"},
}

// config is services, source NAT and mappings of all kinds, in lines of a world.
func (a *natWords) config() string {
	at := func(addr string, port int) string {
		if strings.Contains(addr, ":") {
			return fmt.Sprintf("[%s]:%d", addr, port)
		}
		return fmt.Sprintf("%s:%d", addr, port)
	}
	any := "0.0.0.0"
	if strings.Contains(a.own, ":") {
		any = "::"
	}
	return aNode + aNode6 + strings.Join([]string{
		"",
		"nat own " + a.own,
		"nat pool " + a.pool,
		"nat static " + a.static + " " + a.pod2,
		"nat static udp " + at(a.one, 8080) + " " + at(a.pod1, 80),
		"nat service web ClusterIP udp " + at(a.vip, 80) + " affinity=100 to " + at(a.pod1, 80) + " " + at(a.pod2, 80) + " " + at(a.far, 80),
		"nat service twin ClusterIP udp " + at(a.twin, 80) + " maglev to " + at(a.pod1, 80) + " " + at(a.pod2, 80),
		"nat service far NodePort udp " + at(any, 30080) + " to " + at(a.far, 80) + " " + at(a.pod2, 80),
		"nat service near LoadBalancer udp " + at(a.lb, 80) + " external-local to " + at(a.pod1, 80) + ",local",
	}, "\n")
}

// A datagram is a packet of UDP as seen at an interface; its length tells it from
// others.
type datagram struct {
	at, src, dst      string
	sport, dport, len int
}

func (d *datagram) line() string {
	s := fmt.Sprintf("%s > %s: udp %d > %d len %d", d.src, d.dst, d.sport, d.dport, d.len)
	if d.at == "eth0" {
		s = "02:00:00:00:00:01 > 02:00:00:00:00:10: " + s
	}
	return s
}

// answer returns what whoever was sent d sends back.
func (d datagram) answer() datagram {
	d.src, d.dst, d.sport, d.dport = d.dst, d.src, d.dport, d.sport
	return d
}

// refusal is an ICMP error about d, by whoever was sent it.
func (d *datagram) refusal() string {
	word := "icmp"
	if strings.Contains(d.src, ":") {
		word = "icmp6"
	}
	s := fmt.Sprintf("%s > %s: %s unreachable code 3 [%s > %s: udp %d > %d]", d.dst, d.src, word, d.src, d.dst, d.sport, d.dport)
	if d.at == "eth0" {
		s = "02:00:00:00:00:01 > 02:00:00:00:00:10: " + s
	}
	return s
}

var datagramLine = regexp.MustCompile(`^(\S+): .*?(\S+) > (\S+): udp (\d+) > (\d+) ttl \d+ len (\d+)$`)

func parseDatagram(t testing.TB, s string) (d datagram) {
	t.Helper()
	m := datagramLine.FindStringSubmatch(s)
	if m == nil {
		t.Fatalf("not a packet of the test: %s", s)
	}
	d.at, d.src, d.dst = m[1], m[2], m[3]
	if i := strings.LastIndex(s[:strings.Index(s, ": udp")], " > "); i >= 0 {
		d.src = s[strings.LastIndex(s[:i], " ")+1 : i]
	}
	d.sport, _ = strconv.Atoi(m[4])
	d.dport, _ = strconv.Atoi(m[5])
	d.len, _ = strconv.Atoi(m[6])
	return d
}

// random returns the first packet of a flow.
func (a *natWords) random(rng *rand.Rand) datagram {
	d := datagram{at: []string{"pod1", "pod2", "eth0"}[rng.IntN(3)], sport: 1024 + rng.IntN(64000)}
	if rng.IntN(20) == 0 {
		d.sport = 1 + rng.IntN(1023)
	}
	type end struct {
		addr string
		port int
	}
	to := []end{{a.vip, 80}, {a.twin, 80}, {a.own, 30080}, {a.public, 53}, {a.public, 54}, {a.static, 99}, {a.one, 8080}}
	switch d.at {
	case "pod1":
		d.src = a.pod1
	case "pod2":
		d.src = a.pod2
	default:
		d.src = a.net + strconv.Itoa(2+rng.IntN(90))
		to = []end{{a.own, 30080}, {a.lb, 80}, {a.static, 80}, {a.static, 81}, {a.one, 8080}}
	}
	e := to[rng.IntN(len(to))]
	d.dst, d.dport = e.addr, e.port
	return d
}

// Random flows through everything that translates, each packet at any worker: who
// is sent something answers it as it came, or refuses it, and that comes to who
// has sent the first packet, from where that went to. Each flow is one worker's,
// keeps what it was given, and no two look the same outside.
func TestWorkersTranslate(t *testing.T) {
	for name, a := range crewNAT {
		for _, n := range []int{1, 2, 4} {
			for _, single := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/workers=%d/single=%t", name, n, single), func(t *testing.T) { translateCrew(t, n, single, &a) })
			}
		}
	}
}

func translateCrew(t *testing.T, n int, single bool, a *natWords) {
	c := newCrew(t, n, single, a.config())
	rng := rand.New(rand.NewPCG(uint64(n), 2))
	type flow struct{ in, out datagram }
	var flows []*flow // by length, from 100 on
	used := map[string]bool{}
	looks := map[string]int{}
	for round := range 25 {
		byLen := map[int]*flow{}
		for range 1 + rng.IntN(40) {
			d := a.random(rng)
			if k := fmt.Sprint(d); used[k] {
				continue
			} else {
				used[k] = true
			}
			d.len = 100 + len(flows)
			f := &flow{in: d}
			flows = append(flows, f)
			byLen[d.len] = f
		}
		for range 10 { // those that are there go on
			f := flows[rng.IntN(len(flows))]
			byLen[f.in.len] = f
		}
		for _, f := range byLen {
			c.receive(t, f.in.at, f.in.line(), -1)
		}
		c.advance(t, 1e6)
		seen := 0
		for _, s := range c.sent() {
			o := parseDatagram(t, s)
			f := byLen[o.len]
			if f == nil || f.out != (datagram{}) && f.out != o {
				t.Fatalf("round %d: %+v leaves as %s", round, f, s)
			}
			look := fmt.Sprint(o.at, o.src, o.sport, o.dst, o.dport)
			if other, taken := looks[look]; taken && other != o.len {
				t.Fatalf("round %d: flows %+v and %+v leave as %s", round, flows[other-100], f, s)
			}
			if f.in.sport < 1024 && o.sport >= 1024 && o.src == f.in.src {
				t.Errorf("%+v loses its privileged port: %s", f.in, s)
			}
			looks[look], f.out = o.len, o
			seen++
		}
		if seen != len(byLen) {
			t.Fatalf("round %d: %d of %d packets arrive: %q", round, seen, len(byLen), c.newDrops())
		}
		for _, f := range byLen {
			back := f.out.answer()
			c.receive(t, back.at, back.line(), -1)
		}
		c.advance(t, 1e6)
		for _, s := range c.sent() {
			got := parseDatagram(t, s)
			f := byLen[got.len]
			if want := f.in.answer(); got != want {
				t.Fatalf("round %d: %+v is answered by %s", round, f, s)
			}
			delete(byLen, got.len)
		}
		if len(byLen) != 0 {
			t.Fatalf("round %d: not answered: %v, drops %q", round, byLen, c.newDrops())
		}
		f := flows[rng.IntN(len(flows))]
		c.receive(t, f.out.at, f.out.refusal(), -1)
		c.advance(t, 1e6)
		want := fmt.Sprintf("unreachable code 3 [%s > %s]", f.in.src, f.in.dst)
		if got := c.sent(); len(got) != 1 || !strings.HasPrefix(got[0], f.in.at) || !strings.Contains(got[0], want) {
			t.Fatalf("round %d: a refusal of %+v, which left as %+v, arrives as %q, drops %q", round, f.in, f.out, got, c.newDrops())
		}
	}
	if got := checkOwned(t, c); got != len(flows) {
		t.Errorf("%d sessions of %d flows", got, len(flows))
	}
	if n > 1 && c.handed() == 0 {
		t.Error("nothing has been handed over")
	}
}

// All workers choose the same backend for a client of a service with affinity.
func TestWorkersAffinity(t *testing.T) {
	for _, a := range crewNAT {
		c := newCrew(t, 4, false, a.config())
		to := map[string]bool{}
		for i := range 40 {
			d := datagram{at: "pod1", src: a.pod1, dst: a.vip, sport: 2000 + i, dport: 80, len: 100}
			c.receive(t, "pod1", d.line(), -1)
		}
		c.advance(t, 1e6)
		for _, s := range c.sent() {
			o := parseDatagram(t, s)
			to[o.dst] = true
			if o.dst == a.own { // a pod that is its own backend
				to[o.at] = true
			}
		}
		if len(to) != 1 {
			t.Errorf("a client's flows go to %v", to)
		}
	}
}

// Random frames at random workers: nothing panics, and no buffer and no packet is
// lost without a reason, with policy, NAT and tunnels.
func TestConservationWorkers(t *testing.T) {
	for _, text := range []string{aNode + aNode6 + aPolicy, aNode + aNode6 + aTunnel} {
		c := newCrew(t, 3, false, text)
		rng := rand.New(rand.NewPCG(13, 14))
		var lines [][]byte
		for _, s := range seeds {
			lines = append(lines, line(t, s))
		}
		total := 60_000
		if testing.Short() || raceEnabled {
			total = 10_000
		}
		for n := 0; n < total; {
			for _, queues := range c.queues {
				for _, q := range queues[1:] {
					q.quiet = true
					for range rng.IntN(1 + rng.IntN(60)) {
						q.rx = append(q.rx, spoiled(rng, lines[rng.IntN(len(lines))], q.ethernet))
						n++
					}
				}
			}
			c.advance(t, rng.Int64N(1e8))
		}
		for range 8 {
			c.advance(t, 1e9)
		}
		sent := 0
		for _, queues := range c.queues {
			for _, q := range queues[1:] {
				sent += q.count
			}
		}
		if n := c.parked(); n != 0 || sent < total/10 || c.handed() == 0 {
			t.Errorf("%d packets parked, %d sent, %d handed over", n, sent, c.handed())
		}
	}
}
