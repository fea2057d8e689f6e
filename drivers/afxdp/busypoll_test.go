package afxdp

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"golang.org/x/sys/unix"
)

// TestBusyPoll receives by a queue that runs the device's NAPI itself.
func TestBusyPoll(t *testing.T) {
	w := newWire(t, 1).open(t, Config{BusyPoll: 64})
	q := w.q().(*queue)
	if q.FD() != -1 {
		t.Error("a descriptor to sleep on")
	}
	if d := w.dev.Info().Detail; !strings.Contains(d, "busy polling of 64 packets") {
		t.Errorf("Detail = %q", d)
	}
	for opt, want := range map[int]int{unix.SO_PREFER_BUSY_POLL: 1, unix.SO_BUSY_POLL: busyPollTime} { // the budget can't be read
		if got, err := unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, opt); err != nil || got != want {
			t.Errorf("option %d is %d, %v, want %d", opt, got, err, want)
		}
	}
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	for i := range 10 {
		if _, err := s.WriteTo([]byte{byte(i)}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
		got := nstest.Collect(w.pool, q, 1)
		if len(got) != 1 || got[0].Bytes()[42] != byte(i) {
			t.Fatalf("packet %d: %d received", i, len(got))
		}
		w.pool.Put(got)
	}
	if before := q.Stats().Syscalls; q.Rx(w.pool, nil) != 0 || q.Stats().Syscalls == before {
		t.Error("Rx does not ask the driver")
	}
}

func TestBusyPollRefused(t *testing.T) {
	w := newWire(t, 1)
	before := nstest.OpenFDs(t)
	for _, budget := range []int{-1, MaxBusyPoll + 1} {
		_, err := Open(Config{Interface: "s0", NetNS: w.skein.Path(), BusyPoll: budget}, []*buf.Pool{w.pool})
		if err == nil || !strings.Contains(err.Error(), "busy polling of") {
			t.Errorf("%d packets: %v", budget, err)
		}
	}
	if after := nstest.OpenFDs(t); after != before {
		t.Errorf("%d file descriptors left open", after-before)
	}
	// What the kernel refuses is told: to the unprivileged, and on what cannot be polled.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	w.skein.DoUnprivileged(t, func() error {
		err := busyPoll(fd, 64)
		var missing *drivers.Missing
		if !errors.As(err, &missing) || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "SO_PREFER_BUSY_POLL") {
			t.Errorf("unprivileged: %v", err)
		}
		return nil
	})
}
