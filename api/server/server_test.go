package server

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

func TestSocketModeAndGroup(t *testing.T) {
	lab.NeedRoot(t) // to give the socket to a group
	cfg := config(t)
	cfg.API.Group = "daemon"
	cfg.API.Socket = filepath.Join(cfg.RunDir, "made", "on the way", "api.sock")
	c := newControl(t, cfg)
	running(t, c)
	serve(t, cfg, c)
	info, err := os.Lstat(cfg.API.Socket)
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if info.Mode() != os.ModeSocket|0o660 || st.Uid != 0 || strconv.Itoa(int(st.Gid)) != g.Gid {
		t.Errorf("mode %v, owner %d:%d, want a socket of mode 0660 of root:%s", info.Mode(), st.Uid, st.Gid, g.Gid)
	}
	dial(t, cfg)
}

func TestGroupThatIsNotThere(t *testing.T) {
	cfg := config(t)
	cfg.API.Group = "no-such-group"
	if _, err := Listen(cfg.API, nil, ""); err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("%v, want one that names the group", err)
	}
	if _, err := os.Lstat(cfg.API.Socket); err == nil {
		t.Error("a socket was made nevertheless")
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	cfg := config(t)
	c := newControl(t, cfg)
	running(t, c)
	serve(t, cfg, c)
	_, err := Listen(cfg.API, c, "")
	if err == nil || !strings.Contains(err.Error(), "a daemon runs already at "+cfg.API.Socket) {
		t.Errorf("%v, want that a daemon runs already", err)
	}
	dial(t, cfg) // the first one is as it was
}

// TestForeignListener is a second daemon that another lock was used by: the
// socket answers, and that is enough.
func TestForeignListener(t *testing.T) {
	cfg := config(t)
	l, err := net.Listen("unix", cfg.API.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 { // the lock was given back
		if _, err := Listen(cfg.API, nil, ""); err == nil || !strings.Contains(err.Error(), "a daemon runs already") {
			t.Errorf("%v, want that a daemon runs already", err)
		}
	}
}

func TestStaleSocketIsRemoved(t *testing.T) {
	cfg := config(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: cfg.API.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as if killed
	_ = l.Close()
	c := newControl(t, cfg)
	running(t, c)
	s := serve(t, cfg, c)
	need[*pb.GetVersionResponse](t)(dial(t, cfg).GetVersion(t.Context(), &pb.GetVersionRequest{}))
	s.Stop()
	if _, err := os.Lstat(cfg.API.Socket); !os.IsNotExist(err) {
		t.Errorf("%v, want no socket after Stop", err)
	}
	serve(t, cfg, c) // the lock is free again
}

func TestFileInTheWayIsKept(t *testing.T) {
	cfg := config(t)
	if err := os.WriteFile(cfg.API.Socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(cfg.API, nil, ""); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("%v, want that it is not a socket", err)
	}
	if text, err := os.ReadFile(cfg.API.Socket); err != nil || string(text) != "precious" {
		t.Errorf("the file has %q now (%v)", text, err)
	}
}

// TestStopIsBounded stops a server while a ping is under way that would take
// minutes.
func TestStopIsBounded(t *testing.T) {
	cfg := config(t)
	c := newControl(t, cfg)
	running(t, c)
	s := serve(t, cfg, c)
	client, err := api.Dial(t.Context(), cfg.API.Socket, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	results, err := client.Ping(t.Context(), &pb.PingRequest{Address: "192.0.2.1", Count: 600})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := results.Recv(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.Stop()
	if took := time.Since(began); took > graceful+time.Second {
		t.Errorf("Stop took %v", took)
	}
	for n := 0; err == nil; n++ {
		if _, err = results.Recv(); n > 3 { // what was on its way may still come
			t.Fatal("the ping goes on")
		}
	}
}
