package control

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/takeover"
)

// beforeLimit is how long the host's gateways get to answer before a takeover.
// One that is silent then is not asked for afterwards.
const beforeLimit = time.Second

func (c *Control) takeOptions(uplink string) takeover.Options {
	return takeover.Options{Dir: c.cfg.RunDir, Uplink: uplink, Queues: c.cfg.Workers.Number(),
		Progress: func(step string) { c.progress(uplink, step) }}
}

// progress says what is done next. Whoever has lost the node's network can
// read how far it came.
func (c *Control) progress(uplink, step string) {
	c.log.Info("step", zap.String("uplink", uplink), zap.String("does", step))
}

// take takes an uplink over, or attaches to what a predecessor has kept. What
// one has left behind that could keep nothing is given back first.
func (c *Control) take(u configs.Uplink) (*takeover.Takeover, error) {
	opts := c.takeOptions(u.Interface)
	if c.inherit && takeover.Standing(opts.Dir, u.Interface) {
		fds, err := c.inherited(deviceKey("", u.Interface))
		if err != nil {
			return nil, err
		}
		return takeover.Attach(opts, fds)
	}
	if err := takeover.Restore(opts); err != nil {
		return nil, err
	}
	return takeover.Take(opts)
}

// probeBefore returns what has to be reached after the takeover: what can be
// reached before.
func (c *Control) probeBefore(ctx context.Context, u configs.Uplink) (takeover.Probe, error) {
	probe := takeover.Probe{TCP: u.Confirm.TCP}
	if c.inherit && takeover.Standing(c.cfg.RunDir, u.Interface) {
		return probe, nil // confirmed by the predecessor
	}
	c.progress(u.Interface, "ask what can be reached")
	host, err := takeover.Read(u.Interface)
	if err != nil {
		return probe, nil // the takeover will say so
	}
	ctx, cancel := context.WithTimeout(ctx, beforeLimit)
	defer cancel()
	if gateways := host.Gateways(); u.Confirm.Gateway.On() && len(gateways) > 0 {
		if probe.Gateways = takeover.Reachable(ctx, u.Interface, gateways); len(probe.Gateways) == 0 {
			c.log.Warn("no gateway answers, so none is asked for after the takeover", zap.String("uplink", u.Interface), zap.Any("gateways", gateways))
		}
	}
	if u.Confirm.TCP == "" {
		return probe, nil
	}
	if err := (takeover.Probe{TCP: u.Confirm.TCP}).Run(ctx, u.Interface); err != nil {
		return probe, fmt.Errorf("control: uplink %s: %w: what is to confirm the takeover fails already before: %w", u.Interface, takeover.ErrRefused, err)
	}
	return probe, nil
}

// confirm waits until the host reaches by the TAP what it has reached before.
func (c *Control) confirm(ctx context.Context, u configs.Uplink, probe takeover.Probe) error {
	c.progress(u.Interface, "confirm")
	if len(probe.Gateways) == 0 && probe.TCP == "" {
		c.log.Info("there is nothing to confirm the takeover by", zap.String("uplink", u.Interface))
		return nil
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, u.Confirm.Timeout)
	defer cancel()
	if err := probe.Run(ctx, u.Interface); err != nil {
		return fmt.Errorf("control: uplink %s: the takeover is not confirmed, and undone: %w", u.Interface, err)
	}
	c.log.Info("confirmed", zap.String("uplink", u.Interface), zap.Any("gateways", probe.Gateways), zap.String("tcp", probe.TCP),
		zap.Duration("after", time.Since(start)))
	return nil
}
