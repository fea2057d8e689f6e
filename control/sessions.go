package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// SessionsPath returns the file of the flows that Skein knows.
func SessionsPath(runDir string) string { return filepath.Join(runDir, "sessions") }

// openSessions gives the workers their tables of flows, with the flows that a
// predecessor has left, unless they have them. Without policy there is none: nobody
// pays for what he does not use. A predecessor has closed the file when it lets
// the lock of the run directory go, so somebody who still has it is an error.
func (c *Control) openSessions(ctx context.Context) error {
	c.opening.Lock()
	defer c.opening.Unlock()
	switch {
	case c.sessionsClosed:
		return fmt.Errorf("control: sessions: %w", graph.ErrStopped)
	case c.tables != nil:
		return nil
	}
	tables, err := c.openTables()
	if err != nil {
		return fmt.Errorf("control: sessions: %w", err)
	}
	for _, t := range tables {
		disown(t)
	}
	if err := c.doAll(ctx, func(w *graph.Worker) error { return w.UseSessions(tables[w.ID()]) }); err != nil {
		return errors.Join(err, closeTables(tables))
	}
	c.tables = tables
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

// closeSessions gives the tables back, once no worker uses them.
func (c *Control) closeSessions() error {
	c.opening.Lock()
	defer c.opening.Unlock()
	c.sessionsClosed = true
	err := closeTables(c.tables)
	c.tables = nil
	if err != nil {
		return fmt.Errorf("control: sessions: %w", err)
	}
	return nil
}

// sessionConfig returns what the table of each of some workers is to be: what a
// configuration allows all of them together is divided among them.
func sessionConfig(s configs.Sessions, workers int) session.Config {
	t := session.DefaultTimeouts()
	for class, d := range map[session.Class]time.Duration{
		session.TCPEstablished: s.Timeouts.TCPEstablished, session.TCPHalfOpen: s.Timeouts.TCPTransitory, session.TCPClosing: s.Timeouts.TCPTransitory,
		session.UDPReplied: s.Timeouts.UDP, session.ICMPUnreplied: s.Timeouts.ICMP, session.ICMPReplied: s.Timeouts.ICMP,
	} {
		if d != 0 {
			t[class] = uint32(d / time.Second)
		}
	}
	share := func(n int) int { return (n + workers - 1) / workers }
	return session.Config{Capacity: share(s.Capacity), Timeouts: t, Midstream: true,
		Quota: session.Quota{Sessions: uint32(share(s.PerPod)), HalfOpen: uint32(share(s.PerPodHalfOpen))}}
}

// walkChunk is how many sessions a worker looks at between two sweeps: some
// tens of microseconds.
const walkChunk = 1024

// walkSessions calls f for each session of each worker, in that worker's
// goroutine, and in many parts. f may delete it; false ends the walk of this
// worker's. Without a table there are none.
func (c *Control) walkSessions(ctx context.Context, f func(t *session.Table, i uint32) bool) error {
	return c.walkWorkers(ctx, func(w *graph.Worker, i uint32) bool { return f(w.Flows.Table, i) })
}

// walkWorkers does so for those who want to know whose session it is.
func (c *Control) walkWorkers(ctx context.Context, f func(w *graph.Worker, i uint32) bool) error {
	if has, err := c.hasSessions(); !has || err != nil {
		return err
	}
	for _, w := range c.workers.All() {
		if err := c.walkOf(ctx, w, f); err != nil {
			return err
		}
	}
	return nil
}

// walkOf does so for one worker.
func (c *Control) walkOf(ctx context.Context, w *graph.Worker, f func(w *graph.Worker, i uint32) bool) error {
	at, more := uint32(0), true
	for more {
		err := c.do(ctx, w, func() error {
			t := w.Flows.Table
			for n := 0; n < walkChunk && more; n++ {
				if at = t.Next(at); at == 0 {
					more = false
					break
				}
				more = f(w, at)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hasSessions reports whether the workers have tables. Without policy they have
// none.
func (c *Control) hasSessions() (bool, error) {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.sessionsClosed {
		return false, fmt.Errorf("control: sessions: %w", graph.ErrStopped)
	}
	return c.tables != nil, nil
}

// freeOwner makes the sessions of an interface that has gone nobody's, before
// its index is another's.
func (c *Control) freeOwner(ctx context.Context, index uint32) error {
	owner := uint16(index) // as nodes have it
	if has, err := c.hasSessions(); !has || err != nil {
		return err
	}
	left := make([]int, len(c.workers.All()))
	err := c.doAll(ctx, func(w *graph.Worker) error {
		w.Flows.ResetOwner(owner)
		left[w.ID()] = w.Flows.Owner(owner).Sessions
		return nil
	})
	if err != nil {
		return err
	}
	return c.walkWorkers(ctx, func(w *graph.Worker, i uint32) bool {
		if n := &left[w.ID()]; *n > 0 && w.Flows.At(i).Owner() == owner {
			w.Flows.SetOwner(i, nobody)
			*n--
		}
		return left[w.ID()] > 0
	})
}
