package tuntap

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/internal/lab"
)

// Between one reader and the next the interface keeps its carrier, and the
// kernel what was sent meanwhile.
func TestAdopt(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	for _, c := range []Config{
		{Name: "tun0", Persist: true, Offload: true},
		{Name: "tun1", Persist: true},
		{Name: "tap0", Mode: TAP, Persist: true, Offload: true},
	} {
		c.NetNS = n.Path()
		d, err := Create(c)
		lab.Need(t, err)
		l := b.pod(d, "10.0.0.1")
		fds, err := d.Dup()
		lab.Need(t, err)
		b.close(d)
		if s, err := l.State(); err != nil || !s.Running {
			t.Errorf("%s: no carrier without a reader: %+v, %v", c.Name, s, err)
		}
		d.queues[0].Rx(b.pool, make([]*buf.Buffer, 8)) // closed: nothing
		conn, err := n.DialUDP(port("192.0.2.1", 7))
		lab.Need(t, err)
		_, err = conn.Write([]byte("kept"))
		lab.Need(t, err)
		lab.Need(t, conn.Close())
		next, err := Adopt(c, fds)
		lab.Need(t, err)
		if next.Info().Offload != d.Info().Offload || next.Index() != d.Index() || next.Info().MTU != 1500 {
			t.Errorf("%s: adopted as %+v, was %+v", c.Name, next.Info(), d.Info())
		}
		into := make([]*buf.Buffer, 8)
		got := next.queues[0].Rx(b.pool, into)
		if got == 0 {
			t.Errorf("%s: what was sent meanwhile is lost", c.Name)
		}
		b.pool.Put(into[:got])
		b.close(next)
		lab.Need(t, next.Delete())
	}
}

// A descriptor that is not what it should be is refused, and closed.
func TestAdoptRefuses(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	c := Config{Name: "tun0", NetNS: n.Path(), Persist: true, Offload: true}
	d := b.create(n, c)
	for name, want := range map[string]Config{
		"name":    {Name: "tun9", NetNS: n.Path(), Offload: true},
		"mode":    {Name: "tun0", NetNS: n.Path(), Mode: TAP, Offload: true},
		"offload": {Name: "tun0", NetNS: n.Path()},
	} {
		fds, err := d.Dup()
		lab.Need(t, err)
		if _, err := Adopt(want, fds); err == nil {
			t.Errorf("%s: adopted", name)
		}
		if _, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0); err == nil {
			t.Errorf("%s: the descriptor is still open", name)
		}
	}
	if _, err := Adopt(c, nil); err == nil {
		t.Error("adopted nothing")
	}
}
