package systemd

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The service is found in both kinds of hierarchies, and not where there is
// none.
func TestUnitOf(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/skeind.service\n":                                        "skeind.service",
		"12:pids:/user.slice\n1:name=systemd:/system.slice/skeind.service\n0::/\n": "skeind.service",
		"0::/system.slice/system-skeind.slice/skeind@a.service/sub\n":              "skeind@a.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                            "",
		"12:pids:/system.slice/other.service\n0::/\n":                              "",
		"nonsense": "",
		"":         "",
		"0::/user.slice/user-0.slice/user@0.service/app.slice/skeind.service\n": "skeind.service",
	} {
		if got := unitOf([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Only the unit's own restart counts.
func TestRestarts(t *testing.T) {
	const jobs = `412 skeind.service       restart running
413 other.service        restart waiting
414 network-online.target start   running
415 stopped.service      stop    running
`
	for unit, want := range map[string]bool{"skeind.service": true, "other.service": true, "stopped.service": false, "network-online.target": false, "kein.service": false} {
		if got := restarts([]byte(jobs), unit); got != want {
			t.Errorf("%s: %t", unit, got)
		}
	}
	if restarts([]byte("No jobs running.\n"), "skeind.service") {
		t.Error("no jobs")
	}
}

// A descriptor arrives with its name, and Store returns when it was taken in.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done <- errors.Join(Store(ctx, "data-plane-7", w), w.Close())
	}()
	text, stored := receive(t, manager)
	if text != "FDSTORE=1\nFDNAME=data-plane-7" {
		t.Errorf("%q", text)
	}
	text, pipe := receive(t, manager)
	if text != "BARRIER=1" {
		t.Errorf("%q", text)
	}
	select {
	case err := <-done:
		t.Errorf("it has not waited: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	_ = pipe.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := stored.WriteString("kept"); err != nil {
		t.Error(err)
	}
	_ = stored.Close()
	if text, err := io.ReadAll(r); string(text) != "kept" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// receive takes a message and its descriptor in.
func receive(t *testing.T, from *net.UnixConn) (string, *os.File) {
	t.Helper()
	text, rights := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	n, r, _, _, err := from.ReadMsgUnix(text, rights)
	if err != nil {
		t.Fatal(err)
	}
	all, err := unix.ParseSocketControlMessage(rights[:r])
	if err != nil || len(all) != 1 {
		t.Fatalf("%d control messages, %v", len(all), err)
	}
	fds, err := unix.ParseUnixRights(&all[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	return string(text[:n]), os.NewFile(uintptr(fds[0]), "received")
}

// A manager that does not take messages in is not waited for for ever; without
// one there is nothing to store or to ask.
func TestNoManager(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Store(ctx, "x", os.Stdin); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Store(ctx, "x", os.Stdin); !errors.Is(err, ErrAbsent) {
		t.Errorf("%v", err)
	}
	if _, err := Restarting(ctx); !errors.Is(err, ErrAbsent) {
		t.Errorf("%v", err)
	}
	if got := Stored(); len(got) > 0 {
		t.Errorf("%v", got)
	}
}
