package tuntap

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/internal/lab"
)

// A bench holds the devices of a test, and checks at its end that all is given
// back: buffers, descriptors, interfaces.
type bench struct {
	testing.TB
	lab  *lab.Lab
	pool *buf.Pool
}

func newBench(t testing.TB) *bench {
	t.Helper()
	lab.NeedRoot(t)
	before := tunDescriptors(t)
	t.Cleanup(func() {
		if after := tunDescriptors(t); after > before {
			t.Errorf("%d descriptors of %s before, %d after", before, device, after)
		}
	})
	pool, err := buf.NewPool(2048, 300)
	lab.Need(t, err)
	t.Cleanup(func() {
		s := pool.Stats()
		if s.SmallFree != s.Small || s.LargeFree != s.Large {
			t.Errorf("buffers lost: %+v", s)
		}
		if err := pool.Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{TB: t, lab: lab.ForTest(t), pool: pool}
}

func tunDescriptors(t testing.TB) (n int) {
	fds, err := filepath.Glob("/proc/self/fd/*")
	lab.Need(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == device {
			n++
		}
	}
	return n
}

// space makes a namespace that sends nothing by itself: no router
// solicitations, no multicast reports.
func (t *bench) space(name string) *lab.Namespace {
	t.Helper()
	n := t.lab.Add(t, name)
	lab.Need(t, n.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"))
	return n
}

// create makes a device that is closed when the test ends.
func (t *bench) create(n *lab.Namespace, c Config) *Device {
	t.Helper()
	c.NetNS = n.Path()
	d, err := Create(c)
	lab.Need(t, err)
	t.Cleanup(func() { t.close(d) })
	return d
}

func (t *bench) close(d *Device) {
	t.Helper()
	for _, q := range d.Queues() {
		lab.Need(t, q.Close(t.pool))
	}
	lab.Need(t, d.Close())
}

// pod gives a device what a pod's has: default routes, then addresses.
func (t *bench) pod(d *Device, addrs ...string) *Link {
	t.Helper()
	l, err := d.Link()
	lab.Need(t, err)
	t.Cleanup(l.Close)
	for _, a := range addrs {
		if strings.Contains(a, ":") {
			lab.Need(t, l.EnableIPv6())
		}
	}
	lab.Need(t, l.SetUp())
	for _, a := range addrs {
		p := netip.MustParseAddr(a)
		zero := netip.IPv4Unspecified()
		if p.Is6() {
			zero = netip.IPv6Unspecified()
		}
		lab.Need(t, l.AddRoute(Route{Dst: netip.PrefixFrom(zero, 0)}))
		lab.Need(t, l.AddAddr(netip.PrefixFrom(p, p.BitLen())))
	}
	return l
}

// rx waits for want packets. The caller puts them back.
func (t *bench) rx(q drivers.Queue, want int) []*buf.Buffer {
	t.Helper()
	into := make([]*buf.Buffer, 256)
	got := 0
	for end := time.Now().Add(2 * time.Second); got < want && time.Now().Before(end); {
		got += q.Rx(t.pool, into[got:])
		if got < want {
			await(100*time.Millisecond, q)
		}
	}
	if got < want {
		t.pool.Put(into[:got])
		t.Fatalf("%d packets, want %d; %+v", got, want, q.Stats())
	}
	return into[:got]
}

// await sleeps until one of the queues has something.
func await(limit time.Duration, qs ...drivers.Queue) {
	fds := make([]unix.PollFd, len(qs))
	for i, q := range qs {
		fds[i] = unix.PollFd{Fd: int32(q.FD()), Events: unix.POLLIN}
	}
	_, _ = unix.Poll(fds, int(limit.Milliseconds())) // a wake-up too early does no harm
}

// forward carries packets between two queues until stop is closed: the data
// plane of a test. It returns how many superpackets it has seen.
func (t *bench) forward(stop <-chan struct{}, a, b drivers.Queue) <-chan int {
	done := make(chan int)
	go func() {
		into := make([]*buf.Buffer, 256)
		super := 0
		for {
			select {
			case <-stop:
				done <- super
				return
			default:
			}
			moved := 0
			for _, way := range [][2]drivers.Queue{{a, b}, {b, a}} {
				n := way[0].Rx(t.pool, into)
				for _, p := range into[:n] {
					if p.GSOType != buf.GSONone {
						super++
					}
				}
				sent := way[1].Tx(t.pool, into[:n])
				t.pool.Put(into[sent:n])
				moved += n
			}
			if moved == 0 {
				await(20*time.Millisecond, a, b)
			}
		}
	}()
	return done
}

// joined starts forward and stops it when the test ends, or when the function
// that it returns is called. That returns the number of superpackets.
func (t *bench) joined(a, b drivers.Queue) func() int {
	stop := make(chan struct{})
	done := t.forward(stop, a, b)
	super, stopped := 0, false
	end := func() int {
		if !stopped {
			stopped = true
			close(stop)
			super = <-done
		}
		return super
	}
	t.Cleanup(func() { end() })
	return end
}

func (t *bench) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func port(addr string, p uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), p)
}
