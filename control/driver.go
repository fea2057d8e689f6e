package control

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/auto"
)

// A Candidate is a driver that was considered for an uplink, and why it was
// chosen or not.
type Candidate = auto.Candidate

// driverFor returns what an uplink's configuration says of its driver.
func driverFor(u configs.Uplink) auto.Config {
	return auto.Config{Interface: u.Interface, Driver: u.Driver, XDP: auto.XDP(u.XDP)}
}

// openUplink opens an uplink by the driver that is wanted. It does not touch
// the pools, which are the workers'; only the queues do, once the workers have
// them.
func (c *Control) openUplink(u configs.Uplink, netNS string) (drivers.Device, []Candidate, error) {
	c.mu.Lock()
	guard := deviceGuard(u.RateLimit, c.deny.all)
	c.mu.Unlock()
	wanted := driverFor(u)
	wanted.NetNS, wanted.Guard = netNS, guard
	dev, candidates, err := auto.Open(wanted, c.pools)
	for _, x := range candidates {
		c.log.Info("driver of the uplink", zap.String("uplink", u.Interface), zap.String("driver", x.Driver),
			zap.Bool("chosen", x.Chosen), zap.String("reason", x.Reason))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("control: uplink %s: %w", u.Interface, err)
	}
	return dev, candidates, nil
}
