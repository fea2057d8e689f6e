package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leave has a bench's supervisor leave its child to the next, which gets it by
// the channel.
func (b *bench) leave() <-chan Predecessor {
	left := make(chan Predecessor, 1)
	b.cfg.Leave = func(p Predecessor) error {
		conn, err := dup(p.Conn)
		left <- Predecessor{Conn: conn, PID: p.PID}
		return err
	}
	return left
}

// left runs a supervisor that ends and leaves its child running.
func left(t *testing.T, behave ...string) (*bench, Predecessor) {
	t.Helper()
	b := newBench(t, behave...)
	to := b.leave()
	b.check(b.run(func(stop func(), _ chan<- struct{}) {
		b.await("READY=1")
		stop()
	}), "", 1, 0)
	if b.restored.Load() != 0 {
		t.Error("the uplinks were given back although the data plane goes on")
	}
	return b, <-to
}

// A data plane outlives its supervisor, and the next has it replaced without
// anything being restored in between.
func TestRestartOfSupervisor(t *testing.T) {
	b, p := left(t, "", "")
	if !alive(p.PID) {
		t.Fatal("the data plane has not been left running")
	}
	p.Replace = true
	b.cfg.Adopt, b.cfg.Leave = &p, nil
	b.check(b.run(func(stop func(), _ chan<- struct{}) {
		b.await("READY=1")
		b.await("WATCHDOG=1")
		if b.restored.Load() > 0 {
			t.Error("restored between one and the next")
		}
		stop()
	}), "signal: terminated", 2, 1)
	if alive(p.PID) {
		t.Error("the old data plane still runs")
	}
}

// A supervisor that has become of a newer binary looks after the child that it
// has, for as long as that lives.
func TestAdopt(t *testing.T) {
	for _, how := range []string{"stopped", "killed"} {
		b, p := left(t, "")
		b.cfg.Adopt, b.cfg.Leave = &p, nil
		err := b.run(func(stop func(), _ chan<- struct{}) {
			b.await("READY=1")
			b.await("WATCHDOG=1")
			if how == "stopped" {
				stop()
				return
			}
			if err := unix.Kill(p.PID, unix.SIGKILL); err != nil {
				t.Error(err)
			}
		})
		// Here both supervisors are one process, and either may be told how
		// the child has ended.
		known := err != nil && strings.Contains(err.Error(), map[string]string{"stopped": "signal: terminated", "killed": "signal: killed"}[how])
		if unknown := errors.Is(err, errUnknown); !known && unknown != (how == "killed") {
			t.Errorf("%s: %v", how, err)
		}
		if b.restored.Load() == 0 {
			t.Errorf("%s: nothing was restored", how)
		}
	}
}

// A restart with a data plane that can't start fails, and leaves nothing: the
// old one has given everything back.
func TestRestartFails(t *testing.T) {
	b, p := left(t, "", "unfit")
	p.Replace = true
	b.cfg.Adopt = &p
	b.check(b.run(func(func(), chan<- struct{}) {}), "can't start, and the old one is stopped", 2, 1)
	if alive(p.PID) {
		t.Error("the old data plane still runs")
	}
}

// A data plane that nobody takes ends by itself; a supervisor that is given
// its connection too late starts another.
func TestNobodyTakesIt(t *testing.T) {
	b, p := left(t, "", "")
	late, err := dup(p.Conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(p.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hungUp(t, p.Conn)
	b.cfg.Adopt, b.cfg.Leave = &Predecessor{Conn: late, PID: p.PID, Replace: true}, nil
	b.check(b.run(func(stop func(), _ chan<- struct{}) {
		b.await("READY=1")
		stop()
	}), "signal: terminated", 2, 1)

	_, p = left(t, "")
	_ = p.Conn.Close()
	gone(t, p.PID)
}

// With nobody to leave it to, the data plane is stopped as ever.
func TestNoNext(t *testing.T) {
	b := newBench(t, "")
	for _, err := range []error{ErrNoNext, errors.New("the service manager does not answer")} {
		b.cfg.Leave = func(Predecessor) error { return err }
		b.started.Store(0)
		b.check(b.run(func(stop func(), _ chan<- struct{}) {
			b.await("READY=1")
			stop()
		}), "signal: terminated", 1, 1)
	}
}

// After an upgrade the supervisor may become another, and one that can't goes
// on.
func TestRenew(t *testing.T) {
	b := newBench(t, "")
	asked := 0
	b.cfg.Renew = func(p Predecessor) error { asked = p.PID; return errors.New("no such file") }
	b.check(b.run(func(stop func(), upgrade chan<- struct{}) {
		b.await("READY=1")
		upgrade <- struct{}{}
		b.await("RELOADING=1")
		b.await("READY=1")
		b.await("WATCHDOG=1")
		stop()
	}), "signal: terminated", 2, 1)
	if asked == 0 {
		t.Error("it was not asked")
	}
}

// A process is told from another that has got its number, or was never its.
func TestAdoptRefuses(t *testing.T) {
	b := newBench(t, "")
	s := &supervisor{Config: b.cfg}
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close() // dead
	file, err := ours.conn.File()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.adopt(&Predecessor{Conn: file, PID: os.Getpid()}); !errors.Is(err, errDied) {
		t.Errorf("a process without a connection: %v", err)
	}
	if file, err = os.Open(os.DevNull); err != nil {
		t.Fatal(err)
	}
	if _, err := s.adopt(&Predecessor{Conn: file, PID: os.Getpid()}); err == nil {
		t.Error("a file that is no socket was accepted")
	}
}

// dup returns a copy of a connection, which may not be asked for its
// descriptor: that would make it block, and its other copies as well.
func dup(file *os.File) (out *os.File, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := raw.Control(func(fd uintptr) {
		var copied int
		copied, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		out = os.NewFile(uintptr(copied), "left")
	})
	return out, errors.Join(err, failed)
}

// alive reports whether a process runs. One that has ended and that nobody has
// waited for does not.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(text, []byte(") Z "))
}

// hungUp waits until a connection has no other end, and closes it. A process
// that is being killed holds its end until its last thread is gone.
func hungUp(t *testing.T, conn *os.File) {
	t.Helper()
	w, err := newWireOf(conn)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); w.connected(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is still connected")
		}
	}
	_ = w.conn.Close()
}

// gone waits until a process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}
