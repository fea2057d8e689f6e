package control_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/nodes"
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// The deny list is the file's and the API's together; what the API has added is
// there after a restart, and only that can be taken away.
func TestDenyList(t *testing.T) {
	cfg := configs.Default()
	cfg.RunDir, cfg.Buffers = t.TempDir(), configs.Buffers{Small: 1024, Large: 64}
	cfg.Deny = []string{"192.0.2.0/24", "2001:db8:bad::/48"}
	list := func(c *control.Control) (out []string) {
		for _, d := range c.Denied() {
			text := d.Prefix.String()
			if d.Configured {
				text += " configured"
			}
			out = append(out, text)
		}
		return out
	}
	is := func(c *control.Control, want ...string) {
		t.Helper()
		if got := list(c); !slices.Equal(got, want) {
			t.Errorf("denied: %q, want %q", got, want)
		}
	}
	life(t, cfg, func(c *control.Control) {
		is(c, "192.0.2.0/24 configured", "2001:db8:bad::/48 configured")
		lab.Need(t, c.Deny(prefixes("2001:db8::7/128", "198.51.100.0/24", "192.0.2.0/24", "0.0.0.0/0", "224.0.0.0/4", "::/0")...))
		lab.Need(t, c.Deny(prefixes("198.51.100.0/24")...))
		lab.Need(t, c.Undeny(prefixes("0.0.0.0/0", "224.0.0.0/4", "::/0")...))
		whole := []string{"192.0.2.0/24 configured", "198.51.100.0/24", "2001:db8::7/128", "2001:db8:bad::/48 configured"}
		is(c, whole...)
		for _, x := range []struct {
			err  error
			want error
		}{
			{c.Undeny(prefixes("198.51.100.0/24", "203.0.113.0/24")...), control.ErrNotFound},
			{c.Undeny(prefixes("198.51.100.0/24", "192.0.2.0/24")...), control.ErrBusy},
			{c.Deny(prefixes("203.0.113.0/24", "fe80::/64")...), control.ErrInvalid},
			{c.Deny(many(configs.MaxDeny)...), fib.ErrFull},
		} {
			if !errors.Is(x.err, x.want) {
				t.Errorf("%v, want %v", x.err, x.want)
			}
			is(c, whole...) // all or nothing
		}
	})
	cfg.Deny = cfg.Deny[:1] // the file has changed
	life(t, cfg, func(c *control.Control) {
		is(c, "192.0.2.0/24 configured", "198.51.100.0/24", "2001:db8::7/128")
		lab.Need(t, c.Undeny(prefixes("198.51.100.0/24", "2001:db8::7/128")...))
	})
	life(t, cfg, func(c *control.Control) { is(c, "192.0.2.0/24 configured") })
}

func many(n int) (out []netip.Prefix) {
	for i := range n {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	return out
}

// A limit has its feature on, and is there after a restart; a feature that
// follows from something is nothing to switch.
func TestLimits(t *testing.T) {
	l := lab.ForTest(t)
	pod := l.Add(t, "pod")
	cfg := configs.Default()
	cfg.RunDir = t.TempDir()
	rate, none := configs.RateLimit{Packets: 1000, Burst: 10}, configs.RateLimit{}
	features := func(c *control.Control) (i control.Interface, names []string) {
		all, err := c.Interfaces(t.Context(), "a")
		lab.Need(t, err)
		for _, arc := range nodes.FeatureArcs() {
			if arc.ID == iface.DeviceInput || arc.ID == iface.InterfaceOutput {
				names = append(names, all[0].Features(arc)...)
			}
		}
		return all[0], names
	}
	life(t, cfg, func(c *control.Control) {
		_, err := c.CreateTun(t.Context(), configs.Pod{Name: "a", NetNS: pod.Path(), Addresses: []string{"10.244.0.2/32"},
			Bandwidth: configs.Bandwidth{IngressRate: 1e6}})
		lab.Need(t, err)
		if i, names := features(c); !slices.Equal(names, []string{"rate-limit-out", "gro"}) || i.TxLimit != iface.Bandwidth(1e6, 1e5) || i.RxLimit != (iface.Limit{}) {
			t.Errorf("a pod's bandwidth: %v, %+v, %+v", names, i.RxLimit, i.TxLimit)
		}
		lab.Need(t, c.Change("a", control.Change{RxLimit: &rate, TxLimit: &none}))
		for _, bad := range []control.Change{
			{RxLimit: &configs.RateLimit{Packets: 1, Bandwidth: 1}},
			{TxLimit: &configs.RateLimit{Burst: 1}},
			{RxLimit: &none, Add: prefixes("224.0.0.1/32")}, // the address is wrong: the limit stays
		} {
			if err := c.Change("a", bad); !errors.Is(err, control.ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		for _, f := range []string{"deny-list", "rate-limit-in"} {
			err := c.Change("a", control.Change{Features: []control.FeatureChange{{Arc: "device-input", Feature: f}}})
			if !errors.Is(err, control.ErrBusy) {
				t.Errorf("%s switched off: %v", f, err)
			}
		}
	})
	life(t, cfg, func(c *control.Control) {
		i, names := features(c)
		if !slices.Equal(names, []string{"rate-limit-in", "gro"}) || i.RxLimit != iface.PacketRate(1000, 10) || i.RxRate != rate || i.TxRate != none {
			t.Errorf("after a restart: %v, %+v, %+v", names, i.RxLimit, i.RxRate)
		}
		lab.Need(t, c.Change("a", control.Change{RxLimit: &none}))
		if _, names := features(c); !slices.Equal(names, []string{"gro"}) {
			t.Errorf("switched off: %v", names)
		}
	})
	_, err := control.RemovePods(cfg.RunDir)
	lab.Need(t, err)
}
