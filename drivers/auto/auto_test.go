package auto

import (
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
)

func newLink(t *testing.T) Config {
	a, b := nstest.New(t), nstest.New(t)
	nstest.Veth(t, a, "k0", b, "s0", 2)
	return Config{Interface: "s0", NetNS: b.Path()}
}

// TestChoose expects AF_PACKET on veth, which has no zero-copy.
func TestChoose(t *testing.T) {
	c := newLink(t)
	before := nstest.OpenFDs(t)
	for _, x := range []struct{ ask, want, because string }{
		{"", AFPacket, "operation not supported"},
		{Auto, AFPacket, "operation not supported"},
		{AFPacket, AFPacket, "af_packet was asked for"},
		{AFXDP, AFXDP, "it was asked for"},
	} {
		c.Driver = x.ask
		got, candidates, err := Choose(c)
		if err != nil || got != x.want {
			t.Errorf("asked for %q: got %q, %v", x.ask, got, err)
		}
		reason := ""
		for _, k := range candidates {
			t.Logf("asked for %q: %+v", x.ask, k)
			if k.Chosen != (k.Driver == x.want) || k.Reason == "" {
				t.Errorf("asked for %q: %+v", x.ask, k)
			}
			if k.Driver == AFXDP {
				reason = k.Reason
			}
		}
		if len(candidates) != 2 || !strings.Contains(reason, x.because) {
			t.Errorf("asked for %q: reason %q lacks %q", x.ask, reason, x.because)
		}
	}
	if after := nstest.OpenFDs(t); after != before {
		t.Errorf("%d file descriptors left open", after-before)
	}
}

func TestOpen(t *testing.T) {
	c := newLink(t)
	pools := []*buf.Pool{nstest.NewPool(t, 512, 64), nstest.NewPool(t, 512, 64)}
	d, _, err := Open(c, pools)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(d.Queues()); n != len(pools) {
		t.Errorf("%d queues for %d pools", n, len(pools))
	}
	for i, q := range d.Queues() {
		if err := q.Close(pools[i]); err != nil {
			t.Error(err)
		}
	}
}

// TestXDP checks that what AF_XDP is asked for reaches it.
func TestXDP(t *testing.T) {
	c := newLink(t)
	c.Driver = AFXDP
	pool := nstest.NewPool(t, 8192, 0)
	for x, want := range map[XDP][]string{
		{}:                                   {"TCP superpackets whole"},
		{Superpackets: Auto}:                 {"TCP superpackets whole"},
		{Superpackets: "whole", BusyPoll: 8}: {"TCP superpackets whole", "busy polling of 8 packets"},
		{Superpackets: "cut", BusyPoll: 64}:  {"busy polling of 64 packets"},
		{Superpackets: "cut"}:                nil,
	} {
		c.XDP = x
		d, _, err := Open(c, []*buf.Pool{pool})
		if err != nil {
			t.Fatal(err)
		}
		i := d.Info()
		for _, word := range want {
			if !strings.Contains(i.Detail, word) {
				t.Errorf("%+v: %q lacks %q", x, i.Detail, word)
			}
		}
		if whole := i.Offload&drivers.TSO4 != 0; whole != (x.Superpackets != "cut") {
			t.Errorf("%+v: offload %b", x, i.Offload)
		}
		for _, q := range d.Queues() {
			if err := q.Close(pool); err != nil {
				t.Error(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	c.XDP = XDP{Superpackets: "some"}
	if _, _, err := Open(c, []*buf.Pool{pool}); err == nil {
		t.Error("opened with superpackets \"some\"")
	}
}

func TestRefuses(t *testing.T) {
	c := newLink(t)
	pool := []*buf.Pool{nstest.NewPool(t, 512, 64)}
	if _, _, err := Open(c, nil); err == nil {
		t.Error("opened without a pool")
	}
	c.Driver = "dpdk"
	if _, _, err := Open(c, pool); err == nil {
		t.Error("opened with an unknown driver")
	}
	for _, driver := range []string{Auto, AFXDP, AFPacket} {
		c := Config{Interface: "none", NetNS: c.NetNS, Driver: driver}
		d, candidates, err := Open(c, pool)
		if err == nil || d != nil || len(candidates) != 2 {
			t.Errorf("%s: %v, %v, %v", driver, d, candidates, err)
		}
		for _, k := range candidates {
			if k.Chosen {
				t.Errorf("%s: %+v", driver, k)
			}
		}
	}
}
