package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// SessionsPath returns the file of the flows that Skein knows.
func SessionsPath(runDir string) string { return filepath.Join(runDir, "sessions") }

// openSessions gives the worker its table of flows, with the flows that a
// predecessor has left, unless it has it. Without policy there is none: nobody
// pays for what he does not use. A predecessor has closed the file when it lets
// the lock of the run directory go, so somebody who still has it is an error.
func (c *Control) openSessions(ctx context.Context) error {
	c.opening.Lock()
	defer c.opening.Unlock()
	switch {
	case c.sessionsClosed:
		return fmt.Errorf("control: sessions: %w", graph.ErrStopped)
	case c.table != nil:
		return nil
	}
	t, kept, err := session.Open(SessionsPath(c.cfg.RunDir), sessionConfig(c.cfg.Sessions), session.Now())
	if err != nil {
		return fmt.Errorf("control: sessions: %w", err)
	}
	disown(t)
	if kept.Kept > 0 || kept.Dropped > 0 || kept.Empty != "" {
		c.log.Info("sessions", zap.Int("kept", kept.Kept), zap.Int("damaged", kept.Dropped), zap.String("empty", kept.Empty))
	}
	if err := c.do(ctx, func() error { return c.worker.UseSessions(t) }); err != nil {
		return errors.Join(err, t.Close())
	}
	c.table = t
	return nil
}

// nobody owns sessions whose interface is not known any more: no interface has
// this index, and so nobody opens sessions against its quota.
const nobody = 0

// disown makes all sessions nobody's. Interfaces have other indices after a
// restart; ip4-open and ip6-open give each session its owner again when they
// judge it, which they do at the next packet of who has opened it.
func disown(t *session.Table) {
	for i := t.Next(0); i != 0; i = t.Next(i) {
		t.SetOwner(i, nobody)
	}
}

// closeSessions gives the table back, once no worker uses it.
func (c *Control) closeSessions() error {
	c.opening.Lock()
	defer c.opening.Unlock()
	c.sessionsClosed = true
	if c.table == nil {
		return nil
	}
	err := c.table.Close()
	c.table = nil
	if err != nil {
		return fmt.Errorf("control: sessions: %w", err)
	}
	return nil
}

func sessionConfig(s configs.Sessions) session.Config {
	t := session.DefaultTimeouts()
	for class, d := range map[session.Class]time.Duration{
		session.TCPEstablished: s.Timeouts.TCPEstablished, session.TCPHalfOpen: s.Timeouts.TCPTransitory, session.TCPClosing: s.Timeouts.TCPTransitory,
		session.UDPReplied: s.Timeouts.UDP, session.ICMPUnreplied: s.Timeouts.ICMP, session.ICMPReplied: s.Timeouts.ICMP,
	} {
		if d != 0 {
			t[class] = uint32(d / time.Second)
		}
	}
	return session.Config{Capacity: s.Capacity, Timeouts: t, Midstream: true,
		Quota: session.Quota{Sessions: uint32(s.PerPod), HalfOpen: uint32(s.PerPodHalfOpen)}}
}

// walkChunk is how many sessions the worker looks at between two sweeps: some
// tens of microseconds.
const walkChunk = 1024

// walkSessions calls f for each session, in the worker's goroutine, and in many
// parts. f may delete it; false ends the walk. Without a table there are none.
func (c *Control) walkSessions(ctx context.Context, f func(t *session.Table, i uint32) bool) error {
	if t, err := c.sessions(); t == nil || err != nil {
		return err
	}
	at, more := uint32(0), true
	for more {
		err := c.do(ctx, func() error {
			t := c.worker.Flows.Table
			for n := 0; n < walkChunk && more; n++ {
				if at = t.Next(at); at == 0 {
					more = false
					break
				}
				more = f(t, at)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sessions returns the worker's table, which only the worker may use; nil
// without policy.
func (c *Control) sessions() (*session.Table, error) {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.sessionsClosed {
		return nil, fmt.Errorf("control: sessions: %w", graph.ErrStopped)
	}
	return c.table, nil
}

// freeOwner makes the sessions of an interface that has gone nobody's, before
// its index is another's.
func (c *Control) freeOwner(ctx context.Context, index uint32) error {
	owner := uint16(index) // as nodes have it
	if t, err := c.sessions(); t == nil || err != nil {
		return err
	}
	left := 0
	err := c.do(ctx, func() error {
		c.worker.Flows.ResetOwner(owner)
		left = c.worker.Flows.Owner(owner).Sessions
		return nil
	})
	if err != nil {
		return err
	}
	return c.walkSessions(ctx, func(t *session.Table, i uint32) bool {
		if left > 0 && t.At(i).Owner() == owner {
			t.SetOwner(i, nobody)
			left--
		}
		return left > 0
	})
}
