package supervise

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

// first returns the data plane to begin with, and whether it is ready: one
// that runs already, its successor, or a new one.
func (s *supervisor) first() (c *child, ready bool, err error) {
	p := s.Adopt
	s.Adopt = nil
	if p == nil {
		c, err = s.start(false, false)
		return c, false, err
	}
	old, err := s.adopt(p)
	if err != nil {
		s.Log.Warn("the data plane that was left running is gone, and another is started", zap.Error(err))
		c, err = s.start(false, false)
		return c, false, err
	}
	s.Log.Info("a data plane runs already", zap.Int("pid", old.proc.Pid))
	if !p.Replace {
		s.Notify("READY=1")
		return old, true, nil
	}
	next, err := s.prepare()
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("supervise: the new data plane can't start, and the old one is stopped: %w", err), old.stop(s.Limits.Stop))
	}
	c, err = s.swap(old, next)
	return c, true, err
}

// finish ends the life of a data plane, unless it goes on without us.
func (s *supervisor) finish(cur *child, ready bool) error {
	if s.Leave != nil && ready {
		err := cur.lend(s.Leave)
		if err == nil {
			s.Log.Info("the data plane is left to the next supervisor", zap.Int("pid", cur.proc.Pid))
			return errors.Join(errLeft, cur.wire.conn.Close()) // what it says from now on is for the next
		}
		if !errors.Is(err, ErrNoNext) {
			s.Log.Warn("the data plane can't be left to another supervisor, and is stopped", zap.Error(err))
		}
	}
	s.Notify("STOPPING=1")
	return cur.stop(s.Limits.Stop)
}

// prepare starts a successor, and returns when it needs only the devices.
func (s *supervisor) prepare() (*child, error) {
	next, err := s.start(false, true)
	if err != nil {
		return nil, err
	}
	if err := next.await(Prepared, s.Limits.Prepare); err != nil {
		return nil, errors.Join(err, next.kill()) // it has touched nothing
	}
	return next, nil
}

// upgrade replaces a child by another, and returns the one that moves packets
// from now on: the old one if the new one is not fit. An error means that
// there is none.
func (s *supervisor) upgrade(old *child) (*child, error) {
	s.Notify("RELOADING=1")
	next, err := s.prepare()
	if err != nil {
		s.Log.Error("the new data plane can't start, and the old one goes on", zap.Error(err))
		s.Notify("READY=1")
		return old, nil
	}
	cur, err := s.swap(old, next)
	if err == nil && s.Renew != nil {
		err := cur.lend(s.Renew)
		s.Log.Error("the supervisor stays of the old binary", zap.Error(err))
	}
	return cur, err
}

// swap lets a successor take over. If it does not come up, one of the
// supervisor's own binary is tried.
func (s *supervisor) swap(old, next *child) (*child, error) {
	start := time.Now()
	// One that fails to let go is dead, and then it has.
	if err := errors.Join(old.say(Keep), old.await(Released, s.Limits.Release)); err != nil {
		s.Log.Warn("the old data plane does not let go, and is killed", zap.Error(err))
		_ = old.kill()
	}
	defer old.forget()
	err := errors.Join(next.inherit(old.devices), next.await(Ready, s.Limits.Ready))
	took := time.Since(start)
	old.end(s.Limits.Stop)
	if err != nil {
		s.Log.Error("the new data plane does not come up, and the supervisor's own is tried", zap.Error(err))
		_ = next.kill()
		if next, err = s.fallBack(old.devices); err != nil {
			return nil, err
		}
	}
	s.Notify("READY=1")
	s.Log.Info("the data plane was replaced", zap.Int("pid", next.proc.Pid), zap.Duration("without packets", took))
	return next, nil
}

// fallBack starts a child of the supervisor's own binary in a dead one's place.
func (s *supervisor) fallBack(devices map[string]*os.File) (*child, error) {
	c, err := s.start(true, true)
	if err != nil {
		return nil, err
	}
	err = errors.Join(c.await(Prepared, s.Limits.Prepare), c.inherit(devices), c.await(Ready, s.Limits.Ready))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("supervise: neither the new data plane nor the supervisor's own comes up: %w", err), c.kill())
	}
	return c, nil
}
