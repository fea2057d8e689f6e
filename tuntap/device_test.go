package tuntap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/internal/lab"
)

func TestCreateSaysWhatItMade(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	mac := net.HardwareAddr{2, 0xca, 0x11, 0xc0, 0xfd, 1}
	for _, c := range []Config{
		{Name: "tun0", Offload: true, MTU: 9000, TxQueueLen: 1234},
		{Name: "tun1"},
		{Name: "tun2", Queues: 3},
		{Name: "tap0", Mode: TAP, Offload: true, MAC: mac, MTU: 1400},
		{Name: "tap1", Mode: TAP, Queues: 2, Offload: true},
	} {
		d := b.create(n, c)
		i := d.Info()
		wantMTU := c.MTU
		if wantMTU == 0 {
			wantMTU = 1500
		}
		want := drivers.Offload(0)
		if c.Offload {
			want = drivers.AllOffloads
		}
		if i.Driver != c.Mode.String() || i.Ethernet != (c.Mode == TAP) || i.MTU != wantMTU || i.Offload != want || (i.MAC != nil) != (c.Mode == TAP) {
			t.Errorf("%+v: %+v", c, i)
		}
		if c.MAC != nil && i.MAC.String() != c.MAC.String() {
			t.Errorf("MAC %v, want %v", i.MAC, c.MAC)
		}
		if len(d.Queues()) != max(c.Queues, 1) {
			t.Errorf("%d queues, want %d", len(d.Queues()), c.Queues)
		}
		l, err := d.Link()
		lab.Need(t, err)
		s, err := l.State()
		lab.Need(t, err)
		if s.Up || s.MTU != wantMTU || s.Name != c.Name || c.TxQueueLen > 0 && s.TxQueueLen != c.TxQueueLen {
			t.Errorf("%+v: state %+v", c, s)
		}
		l.Close()
	}
	links, err := n.Links()
	lab.Need(t, err)
	if want := []string{"tun0", "tun1", "tun2", "tap0", "tap1"}; !slices.Equal(links, want) {
		t.Errorf("links %v, want %v", links, want)
	}
}

func TestCreateRefuses(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	b.create(n, Config{Name: "tun0"})
	for _, c := range []struct {
		Config
		want error
	}{
		{Config{Name: "tun0"}, os.ErrExist},
		{Config{Name: "tun0", Offload: true}, os.ErrExist},
		{Config{Name: "lo"}, os.ErrExist},
		{Config{Name: ""}, nil},
		{Config{Name: "tun%d"}, nil},
		{Config{Name: strings.Repeat("x", 16)}, nil},
		{Config{Name: "tun1", Queues: MaxQueues + 1}, nil},
		{Config{Name: "tun1", MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}, nil},
		{Config{Name: "tun1", MTU: 1 << 20}, unix.EINVAL},
		{Config{Name: "tap1", Mode: TAP, MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}, unix.EADDRNOTAVAIL}, // multicast
	} {
		c.NetNS = n.Path()
		d, err := Create(c.Config)
		if err == nil {
			t.Errorf("%+v was made", c.Config)
			b.close(d)
		} else if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.Config, err, c.want)
		}
	}
	if _, err := Create(Config{Name: "tun1", NetNS: "/run/netns/none-such"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a namespace that is not: %v", err)
	}
	if links, _ := n.Links(); !slices.Equal(links, []string{"tun0"}) {
		t.Errorf("a failed Create has left %v", links)
	}
}

// A persistent interface, with its addresses and routes, waits for the next
// process.
func TestPersistAndAttach(t *testing.T) {
	for _, c := range []Config{
		{Name: "tun0", Offload: true, Persist: true},
		{Name: "tun0", Offload: true, Persist: true, Queues: 2},
		{Name: "tun0", Persist: true},
		{Name: "tap0", Mode: TAP, Offload: true, Persist: true},
	} {
		t.Run(fmt.Sprintf("%v offload=%v queues=%d", c.Mode, c.Offload, c.Queues), func(t *testing.T) { testPersist(t, c) })
	}
}

func testPersist(t *testing.T, c Config) {
	b := newBench(t)
	n := b.space("pod")
	c.NetNS = n.Path()
	if _, err := Attach(c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Attach to nothing: %v", err)
	}
	d, err := Create(c)
	lab.Need(t, err)
	b.pod(d, "10.0.0.1")
	if c.Queues < 2 {
		if _, err := Attach(c); !errors.Is(err, unix.EBUSY) {
			t.Errorf("a second process: %v, want %v", err, unix.EBUSY)
		}
	}
	b.close(d)

	for range 2 {
		d, err = Attach(c)
		lab.Need(t, err)
		l, err := d.Link()
		lab.Need(t, err)
		addrs, err := l.Addrs()
		lab.Need(t, err)
		routes, err := l.Routes()
		lab.Need(t, err)
		l.Close()
		if len(addrs) != 1 || addrs[0].String() != "10.0.0.1/32" || len(routes) != 1 || routes[0].Dst.String() != "0.0.0.0/0" {
			t.Errorf("%+v: addresses %v, routes %v", c, addrs, routes)
		}
		if c.Mode == TUN && c.Queues < 2 {
			conn, err := n.DialUDP(port("192.0.2.1", 7))
			lab.Need(t, err)
			_, err = conn.Write([]byte("x"))
			lab.Need(t, err)
			lab.Need(t, conn.Close())
			b.pool.Put(b.rx(d.queues[0], 1))
		}
		b.close(d)
	}
	other := c
	other.Mode = TAP - c.Mode
	if _, err := Attach(other); err == nil {
		t.Errorf("attached to a %v as a %v", c.Mode, other.Mode)
	}
	lab.Need(t, Delete(n.Path(), c.Name))
	lab.Need(t, Delete(n.Path(), c.Name))
	if links, _ := n.Links(); len(links) != 0 {
		t.Errorf("Delete has left %v", links)
	}
}

// A device that has had offload is attached to without: the kernel must cut
// superpackets and finish checksums again.
func TestAttachWithoutOffload(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	c := Config{Name: "tun0", NetNS: n.Path(), Offload: true, Persist: true}
	d, err := Create(c)
	lab.Need(t, err)
	b.pod(d, "10.0.0.1")
	b.close(d)
	for _, offload := range []bool{false, true} {
		c.Offload = offload
		d, err = Attach(c)
		lab.Need(t, err)
		conn, err := n.DialUDP(port("192.0.2.1", 7))
		lab.Need(t, err)
		segment(t, conn, 1000)
		_, err = conn.Write(make([]byte, 20_000))
		lab.Need(t, err)
		lab.Need(t, conn.Close())
		want := 20
		if offload {
			want = 1
		}
		into := make([]*buf.Buffer, 256)
		if got := d.queues[0].Rx(b.pool, into); got != want || d.queues[0].Stats().RxErrors > 0 {
			t.Errorf("offload %v: %d packets, want %d; %+v", offload, got, want, d.queues[0].Stats())
		} else {
			p := into[0]
			if !offload && (p.Len() != 1028 || sum(p.Bytes()[20:], uint32(sum(p.Bytes()[12:20], unix.IPPROTO_UDP+1008))) != 0xffff) {
				t.Errorf("%d bytes, checksum not finished", p.Len())
			}
			b.pool.Put(into[:got])
		}
		b.close(d)
	}
	lab.Need(t, Delete(n.Path(), "tun0"))
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for err, want := range map[error]string{
		unix.ENOENT: "modprobe tun",
		unix.ENODEV: "modprobe tun",
		unix.EPERM:  "CAP_NET_ADMIN",
		unix.EACCES: "CAP_NET_ADMIN",
	} {
		var missing *MissingError
		if got := explain(err); !errors.As(got, &missing) || !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if err := explain(unix.EBUSY); !errors.Is(err, unix.EBUSY) {
		t.Errorf("%v", err)
	}
}

func TestDeleteLeavesOthersAlone(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	if err := Delete(n.Path(), "lo"); err == nil {
		t.Error("lo was deleted")
	}
	if err := Delete("/run/netns/none-such", "tun0"); err != nil {
		t.Errorf("in a namespace that is gone: %v", err)
	}
	// Not persistent: gone with its last queue.
	d := b.create(n, Config{Name: "tun0", Queues: 2})
	lab.Need(t, d.queues[0].Close(b.pool))
	if links, _ := n.Links(); len(links) != 1 {
		t.Errorf("gone with its first queue: %v", links)
	}
	lab.Need(t, d.queues[1].Close(b.pool))
	if links, _ := n.Links(); len(links) != 0 {
		t.Errorf("%v has outlived its queues", links)
	}
}

// Somebody renames a fresh TAP and gives it another MAC, as udev may.
func TestInsist(t *testing.T) {
	b := newBench(t)
	n := b.space("host")
	d := b.create(n, Config{Name: "tap0", Mode: TAP})
	nl := n.Netlink()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	l, err := d.Link()
	lab.Need(t, err)
	defer l.Close()
	times := 0
	lab.Need(t, l.insist("tap0", mac, func(time.Duration) {
		if times++; times == 1 {
			link, err := nl.LinkByName("tap0")
			lab.Need(t, err)
			lab.Need(t, errors.Join(nl.LinkSetHardwareAddr(link, net.HardwareAddr{2, 9, 9, 9, 9, 9}), nl.LinkSetName(link, "renamed")))
		}
	}))
	if times != 2 {
		t.Errorf("looked %d times, want 2", times)
	}
	s, err := l.State()
	lab.Need(t, err)
	if s.Name != "tap0" || s.MAC.String() != mac.String() {
		t.Errorf("%+v", s)
	}
}

// A second interface of a namespace does not take the first one's routes away.
func TestRouteOfAnotherLinkStays(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	b.pod(b.create(n, Config{Name: "eth0", Offload: true}), "10.244.0.2", "2001:db8::2")
	l, err := b.create(n, Config{Name: "eth1"}).Link()
	lab.Need(t, err)
	defer l.Close()
	lab.Need(t, errors.Join(l.SetUp(), l.EnableIPv6()))
	for _, dst := range []string{"0.0.0.0/0", "::/0"} {
		if err := l.AddRoute(Route{Dst: netip.MustParsePrefix(dst)}); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "eth0") {
			t.Errorf("%s: %v", dst, err)
		}
		lab.Need(t, l.AddRoute(Route{Dst: netip.MustParsePrefix(dst), Metric: 7}))
	}
	for _, family := range []string{"-4", "-6"} {
		out, err := n.Exec(b.within(5*time.Second), "ip", family, "route", "show", "default")
		lab.Need(t, err)
		if lines := string(out); strings.Count(lines, "default dev") != 2 || !strings.Contains(lines, "dev eth0") {
			t.Errorf("routes\n%s", lines)
		}
	}
}

func TestLink(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	d := b.create(n, Config{Name: "eth0", Offload: true})
	l := b.pod(d, "10.244.0.2", "2001:db8::2")
	a4, a6 := netip.MustParsePrefix("10.244.0.2/32"), netip.MustParsePrefix("2001:db8::2/128")
	for range 2 { // all of it may be repeated
		lab.Need(t, l.AddAddr(a4))
		lab.Need(t, l.AddAddr(a6))
		lab.Need(t, l.AddRoute(Route{Dst: netip.MustParsePrefix("192.0.2.0/24"), Src: a4.Addr(), MTU: 1400}))
		lab.Need(t, l.AddRoute(Route{Dst: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("169.254.1.1"), Metric: 7}))
	}
	addrs, err := l.Addrs()
	lab.Need(t, err)
	if len(addrs) != 2 || !slices.Contains(addrs, a4) || !slices.Contains(addrs, a6) {
		t.Errorf("addresses %v", addrs)
	}
	// Routes of others are not ours.
	link, err := n.Netlink().LinkByName("eth0")
	lab.Need(t, err)
	lab.Need(t, n.Netlink().RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: toIPNet(netip.MustParsePrefix("203.0.113.0/24")), Scope: netlink.SCOPE_LINK}))
	out, err := n.Exec(b.within(5*time.Second), "ip", "route")
	lab.Need(t, err)
	for _, want := range []string{
		"default dev eth0 proto 115 scope link",
		"192.0.2.0/24 dev eth0 proto 115 scope link src 10.244.0.2 mtu 1400",
		"198.51.100.0/24 via 169.254.1.1 dev eth0 proto 115 metric 7 onlink",
		"203.0.113.0/24 dev eth0 scope link",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	routes, err := l.Routes()
	lab.Need(t, err)
	if len(routes) != 4 { // two defaults, two above
		t.Errorf("routes %+v", routes)
	}
	for _, r := range routes {
		lab.Need(t, l.DelRoute(r))
		lab.Need(t, l.DelRoute(r))
	}
	for range 2 {
		lab.Need(t, l.DelAddr(a4))
		lab.Need(t, l.DelAddr(a6))
	}
	if routes, err = l.Routes(); err != nil || len(routes) != 0 {
		t.Errorf("routes %+v, %v after their deletion", routes, err)
	}
	lab.Need(t, l.SetMTU(1400))
	lab.Need(t, l.SetTxQueueLen(77))
	if s, err := l.State(); err != nil || !s.Up || s.MTU != 1400 || s.TxQueueLen != 77 {
		t.Errorf("state %+v, %v", s, err)
	}
	if _, err := OpenLink(n.Path(), "none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a link that is not: %v", err)
	}
}

// A slow reader costs packets, which the kernel counts.
func TestDropsAreCounted(t *testing.T) {
	b := newBench(t)
	d := b.create(b.space("pod"), Config{Name: "tun0", TxQueueLen: 4})
	l := b.pod(d, "10.0.0.1")
	conn, err := b.lab.Get("pod").DialUDP(port("192.0.2.1", 7))
	lab.Need(t, err)
	defer conn.Close()
	for range 10 {
		_, err := conn.Write([]byte("x"))
		lab.Need(t, err)
	}
	into := make([]*buf.Buffer, 10)
	n := d.queues[0].Rx(b.pool, into)
	b.pool.Put(into[:n])
	s, err := l.State()
	lab.Need(t, err)
	if n != 4 || s.Dropped != 6 {
		t.Errorf("%d read, %d dropped, of 10 with room for 4", n, s.Dropped)
	}
}
