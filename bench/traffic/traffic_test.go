package traffic_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/bench/traffic"
	"github.com/skein-dataplane/skein/internal/lab"
)

// addrs are those of the second pod, with a port that is chosen.
var addrs = map[string]netip.AddrPort{
	"IPv4": netip.AddrPortFrom(netip.MustParseAddr(lab.OtherPodAddr), 0),
	"IPv6": netip.AddrPortFrom(netip.MustParseAddr(lab.OtherPodAddr6), 0),
}

func pods(t *testing.T) *lab.KernelPair {
	t.Helper()
	l := lab.ForTest(t)
	p, err := l.KernelPair()
	lab.Need(t, err)
	return p
}

func TestUDP(t *testing.T) {
	p := pods(t)
	for family, addr := range addrs {
		base := traffic.UDP{From: p.PodA, To: p.PodB, Addr: addr, Size: 22, Count: 1000, Rate: 20_000, Duration: 10 * time.Second}
		for name, change := range map[string]func(*traffic.UDP){
			"one sender":    func(*traffic.UDP) {},
			"three senders": func(u *traffic.UDP) { u.Senders, u.Flows, u.Batch = 3, 20, 7 },
			"one at a time": func(u *traffic.UDP) { u.Batch = 1 },
			"superpackets":  func(u *traffic.UDP) { u.Size, u.Segment, u.Count = 1200, 50, 1000 },
			"idle senders":  func(u *traffic.UDP) { u.Senders, u.Count = 8, 3 },
			"large, by name": func(u *traffic.UDP) {
				u.Size, u.By, u.Addr = 8000, netip.AddrPortFrom(addr.Addr(), 4000), netip.AddrPortFrom(addr.Addr(), 4000)
			},
		} {
			t.Run(family+"/"+name, func(t *testing.T) {
				u := base
				change(&u)
				f, err := u.Run(t.Context())
				if err != nil || f.Sent != u.Count || f.Lost() != 0 || f.Refused != 0 || f.Bytes != u.Count*uint64(u.Size) {
					t.Errorf("%+v, %v", f, err)
				}
			})
		}
	}
}

// What is dropped on the way is counted as lost, and the flood ends.
func TestUDPLost(t *testing.T) {
	p := pods(t)
	_, err := p.Node.Exec(t.Context(), "nft", "add table ip t; add chain ip t f { type filter hook forward priority 0; }; add rule ip t f ip length > 1000 drop")
	lab.Need(t, err)
	u := traffic.UDP{From: p.PodA, To: p.PodB, Addr: addrs["IPv4"], Size: 1200, Count: 500, Rate: 20_000}
	if f, err := u.Run(t.Context()); err != nil || f.Received != 0 || f.Lost() != 500 || f.PerSecond() != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	u.Size = 100
	if f, err := u.Run(t.Context()); err != nil || f.Lost() != 0 || f.PerSecond() <= 0 || f.Gbps() <= 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// A rate is not exceeded, and the end of a context ends a load.
func TestBounds(t *testing.T) {
	p := pods(t)
	u := traffic.UDP{From: p.PodA, To: p.PodB, Addr: addrs["IPv4"], Size: 22, Rate: 1000, Duration: 200 * time.Millisecond, Senders: 2}
	if f, err := u.Run(t.Context()); err != nil || f.Sent == 0 || f.Sent > 2000 {
		t.Errorf("at 1,000 in a second: %+v, %v", f, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	u.Duration, u.Count = traffic.MaxDuration, 60_000
	if f, err := u.Run(ctx); err != nil || f.Sent == u.Count {
		t.Errorf("UDP: %+v, %v", f, err)
	}
	c := traffic.Connects{From: p.PodA, To: p.PodB, Addr: addrs["IPv4"], Duration: traffic.MaxDuration}
	if took, err := c.Run(ctx); err != nil || took.Times.Count() > 0 {
		t.Errorf("Connects: %v", err)
	}
	r := traffic.Requests{From: p.PodA, To: p.PodB, Addr: addrs["IPv4"], Duration: traffic.MaxDuration}
	if took, err := r.Run(ctx); err != nil || took.Times.Count() > 0 {
		t.Errorf("Requests: %v", err)
	}
}

func TestTCP(t *testing.T) {
	p := pods(t)
	for family, addr := range addrs {
		t.Run(family, func(t *testing.T) {
			for _, clients := range []int{1, 3} {
				c := traffic.Connects{From: p.PodA, To: p.PodB, Addr: addr, Clients: clients, Count: 100, Duration: 10 * time.Second}
				took, err := c.Run(t.Context())
				check(t, "connect", took, err)
				r := traffic.Requests{From: p.PodA, To: p.PodB, Addr: addr, Conns: clients, Count: 100, Size: 100 * clients, Duration: 10 * time.Second}
				took, err = r.Run(t.Context())
				check(t, "ask", took, err)
			}
			c := traffic.Connects{From: p.PodA, To: p.PodB, Addr: addr, By: netip.AddrPortFrom(addr.Addr(), 9), Count: 1}
			if _, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("nobody listens: %v", err)
			}
		})
	}
}

// A server ends also where the closing of a connection was lost.
func TestResetLost(t *testing.T) {
	p := pods(t)
	_, err := p.Node.Exec(t.Context(), "nft", "add table ip t; add chain ip t f { type filter hook forward priority 0; }; add rule ip t f tcp flags & rst == rst drop")
	lab.Need(t, err)
	c := traffic.Connects{From: p.PodA, To: p.PodB, Addr: addrs["IPv4"], Count: 100, Duration: 10 * time.Second}
	took, err := c.Run(t.Context())
	check(t, "connect", took, err)
}

func check(t *testing.T, what string, took *traffic.Taken, err error) {
	t.Helper()
	if err != nil || took.Times.Count() != 100 || took.PerSecond() <= 0 || took.Times.Quantile(0.5) > took.Times.Max() {
		t.Errorf("%s: %v, %v", what, took, err)
	}
}

func TestRefuses(t *testing.T) {
	for _, u := range []traffic.UDP{
		{}, {Size: -1}, {Size: 65508}, {Size: 2000, Segment: 40}, {Size: 1, Segment: 65}, {Size: 1, Batch: 1025}, {Size: 1, Senders: 257},
		{Size: 1, Flows: 513}, {Size: 1, Rate: -1}, {Size: 1, Duration: traffic.MaxDuration + 1}, {Size: 1, Duration: -1},
	} {
		if _, err := u.Run(t.Context()); err == nil {
			t.Errorf("%+v: no error", u)
		}
	}
	if _, err := (traffic.Connects{Clients: 1000}).Run(t.Context()); err == nil {
		t.Error("1,000 clients: no error")
	}
	if _, err := (traffic.Requests{Size: 1 << 20}).Run(t.Context()); err == nil {
		t.Error("1 MiB in a question: no error")
	}
	if _, err := (traffic.Requests{Duration: time.Hour}).Run(t.Context()); err == nil {
		t.Error("an hour: no error")
	}
}

// TestHistogram holds the buckets against the durations themselves.
func TestHistogram(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h, half traffic.Histogram
	var all []time.Duration
	if h.Quantile(0.5) != 0 || h.Max() != 0 {
		t.Error("an empty one has a median")
	}
	for i := range 20_000 {
		d := time.Duration(rnd.Uint64() >> (1 + rnd.IntN(63)))
		all = append(all, d)
		if i%2 == 0 {
			h.Add(d)
		} else {
			half.Add(d)
		}
	}
	h.Merge(&half)
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.999, 0.9999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		if got := h.Quantile(q); got < want || float64(got) > float64(want)*1.033+1 {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if h.Count() != uint64(len(all)) || h.Max() != all[len(all)-1] {
		t.Errorf("%d, at most %v", h.Count(), h.Max())
	}
	h = traffic.Histogram{}
	h.Add(-1)
	if h.Quantile(0.5) != 0 {
		t.Error("less than nothing is not nothing")
	}
}
