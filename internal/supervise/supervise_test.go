package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// The test binary is the child as well: the environment says how it behaves.
const envChild = "SUPERVISE_TEST_CHILD"

func TestMain(m *testing.M) {
	behaviour := os.Getenv(envChild)
	if behaviour == "" {
		os.Exit(m.Run())
	}
	if err := behave(behaviour); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// behave is a child's life. Its words: successor, and one of how it fails.
func behave(how string) error {
	l, err := Connect(ChildFD)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if strings.Contains(how, "unfit") {
		return errors.New("unfit")
	}
	if strings.Contains(how, "successor") {
		devices, err := l.AwaitGo(ctx)
		if err != nil {
			return err
		}
		if strings.Contains(how, "late") {
			select {}
		}
		text, err := io.ReadAll(devices["tun 0"])
		if err != nil || string(text) != "kept" {
			return fmt.Errorf("the device says %q, %w", text, err)
		}
	}
	if err := l.Say(Ready); err != nil {
		return err
	}
	if !strings.Contains(how, "hangs") {
		go l.Beat(ctx, 20*time.Millisecond, func(context.Context) error { return nil })
	}
	if strings.Contains(how, "dies") {
		time.Sleep(50 * time.Millisecond)
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	for word, ok := l.Word(); ok; word, ok = l.Word() {
		if word == Keep {
			return handOn(l)
		}
	}
	return os.WriteFile(os.Getenv(envChild+"_LEFT"), nil, 0o600) // the supervisor has died
}

// handOn hands a file on that can be read from its beginning.
func handOn(l *Link) error {
	path := os.Getenv(envChild + "_LEFT")
	if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(l.Hand("tun 0", f), f.Close(), os.Remove(path), l.Say(Released))
}

// A bench runs a supervisor over children that behave in turn as told; the
// last goes on.
type bench struct {
	t        *testing.T
	cfg      Config
	behave   []string
	started  atomic.Int32
	restored atomic.Int32
	said     chan string
	left     string
}

func newBench(t *testing.T, behave ...string) *bench {
	b := &bench{t: t, behave: behave, said: make(chan string, 1000), left: filepath.Join(t.TempDir(), "left")}
	b.cfg = Config{Log: zap.NewNop(),
		Command: func(own, successor bool) *exec.Cmd {
			n := int(b.started.Add(1)) - 1
			how := b.behave[min(n, len(b.behave)-1)]
			if successor {
				how += " successor"
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), envChild+"=runs "+how, envChild+"_LEFT="+b.left)
			return cmd
		},
		Restore: func() error { b.restored.Add(1); return nil },
		Notify: func(state string) {
			select {
			case b.said <- state:
			default:
			}
		},
		Limits: Limits{Prepare: 5 * time.Second, Release: 5 * time.Second, Ready: 300 * time.Millisecond,
			Stop: 5 * time.Second, Hang: 300 * time.Millisecond, Backoff: 10 * time.Millisecond}}
	return b
}

// run runs the supervisor for as long as it takes, and steers it.
func (b *bench) run(steer func(stop func(), upgrade chan<- struct{})) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	upgrade, done := make(chan struct{}, 1), make(chan error, 1)
	go func() { done <- Run(ctx, b.cfg, upgrade) }()
	steer(cancel, upgrade)
	return <-done
}

// await waits until the service manager has heard something.
func (b *bench) await(state string) {
	b.t.Helper()
	for late := time.After(10 * time.Second); ; {
		select {
		case s := <-b.said:
			if s == state {
				return
			}
		case <-late:
			b.t.Fatalf("never %s", state)
		}
	}
}

func (b *bench) check(err error, want string, children, restored int32) {
	b.t.Helper()
	if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
		b.t.Errorf("%v; want %q", err, want)
	}
	if b.started.Load() != children || b.restored.Load() < restored {
		b.t.Errorf("%d children, want %d; restored %d times, want %d", b.started.Load(), children, b.restored.Load(), restored)
	}
}

// A child that dies of anything, or hangs, leaves a node that is restored, and
// an error.
func TestDeath(t *testing.T) {
	for how, want := range map[string]string{"dies": "signal: killed", "hangs": "hung for", "unfit": "exit status 3"} {
		b := newBench(t, how)
		b.check(b.run(func(func(), chan<- struct{}) {}), want, 1, 1)
	}
}

// With Restart another is started, but not in place of one that was never fit.
func TestRestart(t *testing.T) {
	b := newBench(t, "dies", "dies", "")
	b.cfg.Restart = true
	b.check(b.run(func(stop func(), _ chan<- struct{}) {
		for range 3 {
			b.await("READY=1")
		}
		b.await("WATCHDOG=1")
		b.await("WATCHDOG=1")
		stop()
	}), "signal: terminated", 3, 3)
	b = newBench(t, "unfit")
	b.cfg.Restart = true
	b.check(b.run(func(func(), chan<- struct{}) {}), "exit status 3", 1, 1)
}

// A successor takes over, with the devices; nothing is restored in between.
func TestUpgrade(t *testing.T) {
	b := newBench(t, "")
	b.check(b.run(func(stop func(), upgrade chan<- struct{}) {
		b.await("READY=1")
		for range 3 {
			upgrade <- struct{}{}
			b.await("RELOADING=1")
			b.await("READY=1")
		}
		if b.restored.Load() > 0 {
			t.Error("restored between one and the next")
		}
		stop()
	}), "signal: terminated", 4, 1)
}

// One that is not fit is not let near the devices; one that is late makes room
// for the supervisor's own.
func TestUpgradeFails(t *testing.T) {
	b := newBench(t, "", "unfit", "late", "")
	b.check(b.run(func(stop func(), upgrade chan<- struct{}) {
		b.await("READY=1")
		upgrade <- struct{}{}
		b.await("RELOADING=1")
		b.await("READY=1")
		b.await("WATCHDOG=1") // the old one goes on
		upgrade <- struct{}{}
		b.await("RELOADING=1")
		b.await("READY=1")
		stop()
	}), "signal: terminated", 4, 1)
	b = newBench(t, "", "late", "late")
	b.check(b.run(func(_ func(), upgrade chan<- struct{}) {
		b.await("READY=1")
		upgrade <- struct{}{}
	}), "neither the new data plane nor", 3, 1)
}

// A child whose supervisor has gone notices it.
func TestOrphan(t *testing.T) {
	b := newBench(t, "")
	s := &supervisor{Config: b.cfg}
	c, err := s.start(false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.await(Ready, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	_ = c.wire.conn.Close()
	<-c.done
	if _, err := os.Stat(b.left); c.err != nil || err != nil {
		t.Errorf("it has ended with %v, %v", c.err, err)
	}
}
