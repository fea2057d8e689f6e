package control

import (
	"errors"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/session"
)

// openTables opens a table for each worker, with what a predecessor has left.
func (c *Control) openTables() (tables []*session.Table, err error) {
	t, kept, err := session.Open(SessionsPath(c.cfg.RunDir), sessionConfig(c.cfg.Sessions), session.Now())
	if err != nil {
		return nil, err
	}
	if kept.Kept > 0 || kept.Dropped > 0 || kept.Empty != "" {
		c.log.Info("sessions", zap.Int("kept", kept.Kept), zap.Int("damaged", kept.Dropped), zap.String("empty", kept.Empty))
	}
	return append(tables, t), nil
}

func closeTables(tables []*session.Table) (failed error) {
	for _, t := range tables {
		failed = errors.Join(failed, t.Close())
	}
	return failed
}
