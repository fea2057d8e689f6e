package control

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
)

// A plain device does nothing by itself.
type plain struct{}

func (plain) Info() drivers.Info      { return drivers.Info{MTU: 1500} }
func (plain) Queues() []drivers.Queue { return nil }
func (plain) Close() error            { return nil }

// A guarded device keeps a Guard, unless it refuses.
type guarded struct {
	plain
	has    drivers.Guard
	refuse error
}

func (g *guarded) SetGuard(to drivers.Guard) error {
	if g.refuse != nil && len(to.Deny) > len(g.has.Deny) {
		return g.refuse
	}
	g.has = to
	return nil
}

func guardFeatures(p *port) (names []string) {
	for _, arc := range nodes.FeatureArcs() {
		if arc.ID == iface.DeviceInput || arc.ID == iface.InterfaceOutput {
			names = append(names, arc.Names(p.Feat[arc.ID])...)
		}
	}
	return names
}

// TestWhoDrops checks what a device does by itself, and what the graph does.
func TestWhoDrops(t *testing.T) {
	list := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	packets, bits := configs.RateLimit{Packets: 1000, Burst: 10}, configs.RateLimit{Bandwidth: 1e6}
	for _, x := range []struct {
		name    string
		kind    iface.Kind
		guarded bool
		deny    []netip.Prefix
		rx, tx  configs.RateLimit
		want    []string
		device  drivers.Guard
	}{
		{name: "nothing", kind: iface.Uplink},
		{name: "a list", kind: iface.Uplink, deny: list, want: []string{"deny-list"}},
		{name: "a list and a device", kind: iface.Uplink, guarded: true, deny: list, device: drivers.Guard{Deny: list}},
		{name: "a pod and a list", kind: iface.Tun, deny: list},
		{name: "the host and a list", kind: iface.Tap, deny: list},
		{name: "packets", kind: iface.Uplink, rx: packets, want: []string{"rate-limit-in"}},
		{name: "packets and a device", kind: iface.Uplink, guarded: true, rx: packets, device: drivers.Guard{PerPacket: 1e9, Depth: 1e7}},
		{name: "bits and a device", kind: iface.Uplink, guarded: true, rx: bits, want: []string{"rate-limit-in"}},
		{name: "everything", kind: iface.Uplink, deny: list, rx: bits, tx: packets, want: []string{"deny-list", "rate-limit-in", "rate-limit-out"}},
		{name: "a pod and both", kind: iface.Tun, deny: list, rx: packets, tx: bits, want: []string{"rate-limit-in", "rate-limit-out"}},
	} {
		dev := &guarded{}
		p := &port{Iface: iface.Iface{Kind: x.kind}, device: plain{}, rxLimit: x.rx, txLimit: x.tx}
		if x.guarded {
			p.device = dev
		}
		for range 2 { // from nothing, and again
			if err := p.guard(x.deny); err != nil {
				t.Fatal(err)
			}
		}
		if got := guardFeatures(p); !slices.Equal(got, x.want) {
			t.Errorf("%s: features %q, want %q", x.name, got, x.want)
		}
		if !slices.Equal(dev.has.Deny, x.device.Deny) || dev.has.PerPacket != x.device.PerPacket || dev.has.Depth != x.device.Depth {
			t.Errorf("%s: the device has %+v, want %+v", x.name, dev.has, x.device)
		}
		p.rxLimit, p.txLimit = configs.RateLimit{}, configs.RateLimit{}
		if err := p.guard(nil); err != nil || len(guardFeatures(p)) > 0 || len(dev.has.Deny) > 0 || dev.has.Depth != 0 {
			t.Errorf("%s: left %q, %+v, %v", x.name, guardFeatures(p), dev.has, err)
		}
	}
}

// TestFirstLimit checks that what the API was asked for comes before what the
// configuration says.
func TestFirstLimit(t *testing.T) {
	c := claimed(t)
	u := configs.Uplink{Interface: "eth0", RateLimit: configs.RateLimit{Packets: 5}}
	is := func(want configs.RateLimit) {
		t.Helper()
		if got, err := c.limited([]configs.Uplink{u}); err != nil || got[0].RateLimit != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	is(u.RateLimit)
	asked := configs.RateLimit{Bandwidth: 7}
	up := true
	for _, x := range []store.Interface{{Name: "eth0", RxLimit: &asked}, {Name: "host-eth0", Up: &up, TxLimit: &asked}} {
		if err := c.store.PutInterface(x); err != nil {
			t.Fatal(err)
		}
		is(u.RateLimit)
	}
	for _, asked = range []configs.RateLimit{{Bandwidth: 7}, {}} { // off as well
		if err := c.store.PutInterface(store.Interface{Name: "host-eth0", RxLimit: &asked}); err != nil {
			t.Fatal(err)
		}
		is(asked)
	}
}

// claimed returns a Control with its store, that does not run.
func claimed(t *testing.T) *Control {
	t.Helper()
	cfg := configs.Default()
	cfg.RunDir, cfg.Buffers = t.TempDir(), configs.Buffers{Small: 1024, Large: 64}
	c, err := New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Deny(netip.MustParsePrefix("192.0.2.0/24")); !errors.Is(err, ErrBusy) {
		t.Errorf("before the start: %v", err)
	}
	if err := c.claim(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.release(), c.closeWorkers()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestDenyRefused has the second of two uplinks refuse a list: nobody has it then.
func TestDenyRefused(t *testing.T) {
	c := claimed(t)
	a, b := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")
	first, second := &guarded{}, &guarded{}
	for i, d := range []*guarded{first, second} {
		c.ports = append(c.ports, &port{index: uint32(i + 1), device: d, Iface: iface.Iface{Kind: iface.Uplink, Name: string(rune('a' + i))}})
	}
	if err := errors.Join(c.loadDeny(), c.Deny(a)); err != nil {
		t.Fatal(err)
	}
	second.refuse = os.ErrPermission
	if err := c.Deny(b); !errors.Is(err, os.ErrPermission) {
		t.Errorf("refused: %v", err)
	}
	kept, err := c.store.Deny()
	if got := c.Denied(); len(got) != 1 || got[0].Prefix != a || err != nil || len(kept) != 1 {
		t.Errorf("denied %v, kept %v, %v", got, kept, err)
	}
	for _, d := range []*guarded{first, second} {
		if !slices.Equal(d.has.Deny, []netip.Prefix{a}) {
			t.Errorf("a device has %v", d.has.Deny)
		}
	}
}
