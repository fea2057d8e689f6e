// Package supervise answers one question: what happens when the data plane
// dies?
//
// skeind is two processes of one binary. The supervisor starts the data plane
// as its child and does nothing else: it forwards signals, listens for signs
// of life, and when the child has died, or hangs, gives the uplinks back
// itself. Neither can leave the other behind: when the supervisor dies, the
// child sees the end of their connection and stops cleanly.
//
// On an upgrade the supervisor starts another child, perhaps of a newer binary.
// That one prepares all that needs no device; then the old one lets go of the
// uplinks without giving them back, hands on the descriptors of its TUNs and
// TAPs, so that their carrier stays and what is sent meanwhile waits in the
// kernel, and the new one attaches. If it does not
// come up in time, a child of the supervisor's own binary is tried, and if
// that fails as well the uplinks are given back. When the child has proved the
// new binary, the supervisor becomes of it as well (Config.Renew).
//
// A supervisor can be replaced while its child goes on (Config.Leave, Adopt):
// what passes from one to the next is their end of the connection to the child.
// Should nobody take it, it is closed, and the child gives the uplinks back.
//
// They talk by words, each a line, over a socket that the child inherits.
// Maturity: new.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"go.uber.org/zap"
)

// Config says how to look after a data plane.
type Config struct {
	// Command makes the command of a child: of the newest binary, or of the
	// supervisor's own if own is set. A successor says Prepared and then waits
	// for Go. The descriptor of the connection will be ChildFD.
	Command func(own, successor bool) *exec.Cmd
	// Restore gives back what a dead child has left. Nothing to do is no error.
	Restore func() error
	// Restart starts another child when one has died that was ready before.
	Restart bool
	// Notify tells the service manager; "READY=1" and others of sd_notify(3).
	Notify func(state string)
	// Adopt is a data plane to look after instead of starting one, or nil.
	Adopt *Predecessor
	// Leave is asked when Run is to end. If it returns nil it has left the
	// data plane to the next supervisor, and Run leaves everything standing.
	// nil: there is never a next one.
	Leave func(Predecessor) error
	// Renew makes the process be of the newest binary, once that has shown
	// that it is fit, and so does not return unless it has failed. nil: the
	// process stays what it is.
	Renew  func(Predecessor) error
	Log    *zap.Logger
	Limits Limits
}

// ErrNoNext is what Leave returns if there will be no other supervisor.
var ErrNoNext = errors.New("nobody takes the data plane on")

// Limits are times that a child may take. Zero is for the default.
type Limits struct {
	Prepare time.Duration // of a successor, to be prepared; 30 s
	Release time.Duration // to let go of its devices; 5 s
	Ready   time.Duration // of a successor, from Go to Ready; 10 s
	Stop    time.Duration // to give everything back; 15 s
	Hang    time.Duration // between two signs of life; 10 s
	Backoff time.Duration // before the first restart, doubled with each up to a minute; 1 s
}

func (l *Limits) fill() {
	for _, x := range []struct {
		limit *time.Duration
		value time.Duration
	}{{&l.Prepare, 30 * time.Second}, {&l.Release, 5 * time.Second}, {&l.Ready, 10 * time.Second}, {&l.Stop, 15 * time.Second},
		{&l.Hang, 10 * time.Second}, {&l.Backoff, time.Second}} {
		if *x.limit == 0 {
			*x.limit = x.value
		}
	}
}

const (
	// maxBackoff bounds the time between two restarts.
	maxBackoff = time.Minute
	// sound is how long a child runs until its predecessors' deaths are
	// forgotten.
	sound = 10 * time.Minute
)

var (
	// errDied means that a child has ended without being asked to.
	errDied = errors.New("the data plane has died")
	// errLeft means that it goes on without this supervisor.
	errLeft = errors.New("the data plane is left to another supervisor")
)

// Run looks after children until ctx is done, and then stops the last one. An
// event on upgrade has a new one take over. It returns nil after a clean stop,
// and else why there is no data plane any more; the uplinks are given back in
// any case, or the error says why not.
func Run(ctx context.Context, c Config, upgrade <-chan struct{}) error {
	c.Limits.fill()
	s := &supervisor{Config: c, oom: protect(c.Log)}
	backoff := c.Limits.Backoff
	for {
		started := time.Now()
		wasReady, err := s.life(ctx, upgrade)
		if errors.Is(err, errLeft) {
			return nil
		}
		if restored := c.Restore(); restored != nil {
			err = errors.Join(err, fmt.Errorf("supervise: %w", restored))
			c.Log.Error("the uplinks could not be given back", zap.Error(restored))
		} else if err != nil {
			c.Log.Warn("the uplinks are given back", zap.Error(err))
		}
		if ctx.Err() != nil || !errors.Is(err, errDied) || !wasReady || !c.Restart {
			return err
		}
		if time.Since(started) > sound {
			backoff = c.Limits.Backoff
		}
		c.Log.Info("the data plane is started again", zap.Duration("in", backoff))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

type supervisor struct {
	Config
	oom int // the processes' oom_score_adj, as it was given
}

// life is that of a data plane, which several children can share. It returns
// when there is none left, and whether there has been one that was ready.
func (s *supervisor) life(ctx context.Context, upgrade <-chan struct{}) (wasReady bool, err error) {
	cur, wasReady, err := s.first()
	if err != nil {
		return false, err
	}
	heard := time.NewTimer(s.Limits.Hang)
	defer heard.Stop()
	for {
		hang := heard.C
		if !wasReady {
			hang = nil // configuring may take its time, and bounds itself
		}
		select {
		case <-ctx.Done():
			return wasReady, s.finish(cur, wasReady)
		case <-upgrade:
			if cur, err = s.upgrade(cur); err != nil {
				return true, err
			}
			heard.Reset(s.Limits.Hang)
		case m := <-cur.words:
			cur.take(m)
			wasReady = s.heard(m.word) || wasReady
			heard.Reset(s.Limits.Hang)
		case <-hang:
			s.Log.Error("the data plane gives no sign of life, and is killed", zap.Duration("for", s.Limits.Hang))
			return true, errors.Join(fmt.Errorf("supervise: %w: it hung for %v", errDied, s.Limits.Hang), cur.kill())
		case <-cur.done:
			if cur.err == nil {
				return wasReady, nil // somebody has stopped it, and not by us
			}
			return wasReady, fmt.Errorf("supervise: %w: %w", errDied, cur.err)
		}
	}
}

// heard passes a child's word on, and reports whether it is ready.
func (s *supervisor) heard(word string) (ready bool) {
	switch word {
	case Ready:
		s.Notify("READY=1")
		return true
	case Alive:
		s.Notify("WATCHDOG=1")
	}
	return false
}
