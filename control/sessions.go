package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/session"
)

// openSessions gives the worker its table of flows, with the flows that a
// predecessor has left, unless it has it. Without policy there is none: nobody
// pays for what he does not use. Only the daemon of this run directory has the
// file.
func (c *Control) openSessions(ctx context.Context) error {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.table != nil {
		return nil
	}
	t, kept, err := session.Open(filepath.Join(c.cfg.RunDir, "sessions"), sessionConfig(c.cfg.Sessions), session.Now())
	if err != nil {
		return fmt.Errorf("control: sessions: %w", err)
	}
	if kept.Kept > 0 || kept.Dropped > 0 || kept.Empty != "" {
		c.log.Info("sessions", zap.Int("kept", kept.Kept), zap.Int("damaged", kept.Dropped), zap.String("empty", kept.Empty))
	}
	if err := c.do(ctx, func() error { return c.worker.UseSessions(t) }); err != nil {
		return errors.Join(err, t.Close())
	}
	c.table = t
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
