package afxdp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"github.com/vishvananda/netlink"
)

// TestPoolExhausted checks that an empty pool is counted, loses what comes
// and heals.
func TestPoolExhausted(t *testing.T) {
	w := newWire(t, 1)
	few := nstest.NewPool(t, 70, 0)
	d := open(t, few, Config{Interface: "s0", NetNS: w.skein.Path()})
	q := d.Queues()[0]
	var v [256]*buf.Buffer
	q.Rx(few, v[:])
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	send := func(n int) {
		for range n {
			if _, err := s.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(100)
	got := nstest.Collect(few, q, 70)
	if st := q.Stats(); len(got) != 70 || st.RxNoBufs == 0 || st.RxDropped != 30 {
		t.Errorf("%d received, %+v", len(got), st)
	}
	few.Put(got)
	few.Put(v[:q.Rx(few, v[:])])
	send(1)
	if got = nstest.Collect(few, q, 1); len(got) != 1 {
		t.Error("nothing received after buffers came back")
	}
	few.Put(got)
	if n := q.Rx(w.pool, v[:]); n != 0 {
		t.Errorf("received %d into another pool", n)
	}
}

// TestOverflow fills the receive ring and expects the loss to be counted.
func TestOverflow(t *testing.T) {
	w := newWire(t, 1).open(t, Config{Ring: 64})
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	for range 200 {
		if _, err := s.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
	}
	var v [256]*buf.Buffer
	n := w.q().Rx(w.pool, v[:])
	w.pool.Put(v[:n])
	if st := w.q().Stats(); n != 64 || st.RxDropped != 136 {
		t.Errorf("%d received, %+v", n, st)
	}
}

func TestLinkDown(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		c.Ring = 64
		w := newWire(t, 1).open(t, c)
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		w.skein.Down(t, "s0")
		sent := 0
		for range 100 {
			one := []*buf.Buffer{w.udp(t, w.pool.Get, []byte("down"))}
			n := w.q().Tx(w.pool, one)
			w.pool.Put(one[n:])
			sent += n
		}
		if sent > 64 || w.q().Stats().TxFull == 0 {
			t.Errorf("%d sent on a link that is down, %+v", sent, w.q().Stats())
		}
		w.drain()
		w.skein.Up(t, "s0")
		w.drain()
		if n := w.q().Tx(w.pool, []*buf.Buffer{w.udp(t, w.pool.Get, []byte("up"))}); n != 1 {
			t.Errorf("Tx = %d after the link came up", n)
		}
		got := make([]byte, 10)
		for string(got[:2]) != "up" {
			if _, err := s.Read(got); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.WriteTo([]byte("back"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
		back := nstest.Collect(w.pool, w.q(), 1)
		if len(back) != 1 {
			t.Error("nothing received after the link came up")
		}
		w.pool.Put(back)
	})
}

// TestInterfaceGone deletes the interface under a queue.
func TestInterfaceGone(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 1).open(t, c)
		v := []*buf.Buffer{w.udp(t, w.pool.Get, []byte("1")), w.udp(t, w.pool.Get, []byte("2"))}
		if err := w.skein.Links.LinkDel(w.skein.Link(t, "s0")); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.drain()
		}
		w.pool.Put(v[w.q().Tx(w.pool, v):])
		if n := w.q().Stats().Syscalls; n > 10 {
			t.Errorf("%d system calls", n)
		}
	})
}

// TestUnprivileged expects an error that says what is needed.
func TestUnprivileged(t *testing.T) {
	w := newWire(t, 1)
	var missing *drivers.Missing
	w.skein.DoUnprivileged(t, func() error {
		if _, err := Open(Config{Interface: "s0"}, []*buf.Pool{w.pool}); !errors.As(err, &missing) {
			return fmt.Errorf("not a *drivers.Missing: %w", err)
		}
		return nil
	})
	t.Log(missing)
}

// TestOpenWhileDown opens an interface before it comes up.
func TestOpenWhileDown(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 1)
		w.skein.Down(t, "s0")
		w.open(t, c)
		w.skein.Up(t, "s0")
		// The kernel drops what is sent before it has looked at the carrier.
		for range 500 {
			if w.kernel.Link(t, "k0").Attrs().OperState == netlink.OperUp {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		if _, err := s.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
		got := nstest.Collect(w.pool, w.q(), 1)
		if len(got) != 1 {
			t.Error("nothing received")
		}
		w.pool.Put(got)
	})
}

// TestClose checks that nothing is left, in either order of closing, and that
// packets go to the kernel again.
func TestClose(t *testing.T) {
	for _, deviceFirst := range []bool{false, true} {
		w := newWire(t, 1)
		before := nstest.OpenFDs(t)
		d, err := Open(Config{Interface: "s0", NetNS: w.skein.Path()}, []*buf.Pool{w.pool})
		if err != nil {
			t.Fatal(err)
		}
		w.dev = d
		w.drain()
		w.q().Tx(w.pool, []*buf.Buffer{w.udp(t, w.pool.Get, []byte("x"))})
		if deviceFirst {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		for range 2 {
			if err := w.q().Close(w.pool); err != nil {
				t.Error(err)
			}
		}
		w.drain()
		if n := w.q().Tx(w.pool, make([]*buf.Buffer, 1)); n != 0 {
			t.Errorf("closed queue sent %d", n)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		w.idle(t)
		if after := nstest.OpenFDs(t); after != before {
			t.Errorf("%d file descriptors left open", after-before)
		}
	}
}

// idle checks that the interface is as before Open.
func (w *wire) idle(t *testing.T) {
	t.Helper()
	a := w.skein.Link(t, "s0").Attrs()
	if a.Promisc != 0 || a.Xdp != nil && a.Xdp.Attached {
		t.Errorf("left behind: promiscuity %d, XDP %+v", a.Promisc, a.Xdp)
	}
}

// TestKilled checks that a process which is killed leaves no program behind,
// and that its successor can open at once, although the queue stays busy for
// a moment.
func TestKilled(t *testing.T) {
	if path := os.Getenv("SKEIN_TEST_NETNS"); path != "" {
		holdUntilKilled(path)
	}
	w := newWire(t, 1)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "SKEIN_TEST_NETNS="+strings.Replace(w.skein.Path(), "self", fmt.Sprint(os.Getpid()), 1))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 5)); n != 5 {
		t.Error(err)
	}
	if a := w.skein.Link(t, "s0").Attrs(); a.Xdp == nil || !a.Xdp.Attached {
		t.Error("the child has not attached its program")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed, as it should
	w.idle(t)
	w.open(t, Config{})
}

func holdUntilKilled(path string) {
	p, err := buf.NewPool(256, 0)
	if err == nil {
		_, err = Open(Config{Interface: "s0", NetNS: path, Ring: 64}, []*buf.Pool{p})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print("ready")
	time.Sleep(time.Minute)
	os.Exit(1)
}
