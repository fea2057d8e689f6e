package tour_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// Both queues of an uplink that AF_XDP serves bring packets, in both families.
// Each in turn has a worker to itself, so what that one receives came by it.
func TestTwoQueues(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_xdp", Workers: 2, Wanted: lab.Wanted{Queues: 2}})
	ctx, c := start(t, tr)
	_, at := placements(t, ctx, c)
	for name := range at {
		iface, queue, _ := strings.Cut(name, " ")
		place(t, ctx, c, iface, int(queue[0]-'0'), 1)
	}
	for queue := range 2 {
		place(t, ctx, c, hostUplink, queue, 0)
		for _, f := range families {
			before, _ := placements(t, ctx, c)
			deadline := time.Now().Add(20 * time.Second)
			for came := uint64(0); came < 8; {
				if time.Now().After(deadline) {
					t.Fatalf("%s: %d packets by queue %d", f.name, came, queue)
				}
				datagrams(t, tr.Router, f.pod)
				now, _ := placements(t, ctx, c)
				came = now[0].RxPackets - now[0].Handed - before[0].RxPackets + before[0].Handed
			}
		}
		place(t, ctx, c, hostUplink, queue, 1)
	}
}

// datagrams sends some from ports of their own, so that the kernel spreads them
// over the queues.
func datagrams(t *testing.T, from *lab.Namespace, to string) {
	t.Helper()
	for range 4 {
		conn, err := from.DialUDP(netip.AddrPortFrom(netip.MustParseAddr(to), 9))
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Write([]byte("by any queue"))
		if err = errors.Join(err, conn.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// The budget of busy polling that is configured reaches the sockets: the kernel
// has it of each queue's, and users see it.
func TestBusyPoll(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_xdp", Uplink: "af_xdp: {busy_poll: 8}", Workers: 2, Wanted: lab.Wanted{Queues: 2}})
	ctx, c := start(t, tr)
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "skeinctl"), "--socket", tr.Socket, "show", "hardware-interfaces").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "busy polling of 8 packets") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := pollingSockets(t, tr.PID()); n != 2 {
		t.Errorf("%d sockets of AF_XDP poll busily, want one for each queue", n)
	}
	for _, talk := range converse(t, ctx, tr.PodA, tr.Remote, lab.RemoteAddr, lab.RemoteAddr6) {
		progress(t, "a pod", talk)
	}
	// A queue that has no descriptor to sleep on moves as any other.
	place(t, ctx, c, hostUplink, 0, 1)
	place(t, ctx, c, hostUplink, 1, 1)
	for _, talk := range converse(t, ctx, tr.PodA, tr.Remote, lab.RemoteAddr, lab.RemoteAddr6) {
		progress(t, "a pod, when one worker polls both queues", talk)
	}
}

// pollingSockets returns how many sockets of AF_XDP a process has that prefer
// busy polling. Their budget can be set and not read (Linux, net/core/sock.c).
func pollingSockets(t *testing.T, pid int) (n int) {
	t.Helper()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(process) }()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range open {
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdGetfd(process, number, 0)
		if err != nil {
			continue // it was closed meanwhile
		}
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err == nil && domain == unix.AF_XDP {
			prefers, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL)
			if err != nil {
				t.Error(err)
			}
			n += prefers
		}
		_ = unix.Close(fd)
	}
	return n
}
