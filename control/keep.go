package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/tuntap"
)

// What survives the process: pods' TUNs always, with all that the API was
// asked for; uplink and TAP as they are if the process ends with Keep, for a
// successor that begins with Inherit.

// Inherit has Run attach to the uplinks that a predecessor has kept, instead
// of giving them back first. devices are the descriptors that it has handed on
// by Hand; they are Run's from now on. It is called before Run.
func (c *Control) Inherit(devices map[string]*os.File) { c.inherit, c.devices = true, devices }

// A Hand passes a descriptor of a device on to a successor. The file is closed
// when it returns.
type Hand func(device string, file *os.File) error

// Keep has Run leave TAPs and uplinks as they are when it ends, with nobody
// moving their packets. Whoever calls it sees to it that a successor comes, or
// that they are given back. TUNs and TAPs are handed to give, so that a
// successor can go on reading them where we have ended.
func (c *Control) Keep(give Hand) { c.keep.Store(&give) }

// inherited returns the descriptors of a device's queues that were handed on,
// and hands them over. There may be none.
func (c *Control) inherited(device string) (fds []int, err error) {
	for queue := 0; ; queue++ {
		key := queueKey(device, queue)
		file := c.devices[key]
		if file == nil {
			return fds, nil
		}
		delete(c.devices, key)
		fd, err := own(file)
		if err != nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
			return nil, fmt.Errorf("control: descriptor of %s: %w", device, err)
		}
		fds = append(fds, fd)
	}
}

// own returns a descriptor of a file that is the caller's, and closes the file.
func own(file *os.File) (int, error) {
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// Asking for the descriptor has made it block.
	if err := unix.SetNonblock(fd, true); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// disinherit closes what nobody has wanted.
func (c *Control) disinherit() {
	for _, file := range c.devices {
		_ = file.Close()
	}
	clear(c.devices)
}

// handOn gives the descriptors of a device's queues to a successor. Without it the successor
// attaches to the device by its name.
func (c *Control) handOn(p *port, give Hand) error {
	dev, ok := p.device.(*tuntap.Device)
	if !ok {
		return nil
	}
	fds, err := dev.Dup()
	if err != nil {
		return err
	}
	for queue, fd := range fds {
		file := os.NewFile(uintptr(fd), p.Name)
		err = errors.Join(err, give(queueKey(deviceKey(p.peer.NetNS, p.peer.Name), queue), file), file.Close())
	}
	return err
}

// deviceKey is what a TUN or TAP is handed on by: its own name, and that of the
// file of its namespace.
func deviceKey(netNS, name string) string { return name + " " + netNS }

// queueKey is what a queue of a device is handed on by. The first has the name
// of the device.
func queueKey(device string, queue int) string {
	if queue == 0 {
		return device
	}
	return device + " " + strconv.Itoa(queue)
}

// claimLimit is how long another daemon may take to let go.
const claimLimit = 2 * time.Second

// StorePath returns the file of what is to survive a restart.
func StorePath(runDir string) string { return filepath.Join(runDir, "state.db") }

// claim makes sure that this is the only daemon of its run directory.
func (c *Control) claim() (err error) {
	wait := time.Duration(0)
	if c.inherit {
		wait = claimLimit
	}
	if c.lock, err = takeover.Acquire(c.cfg.RunDir, wait); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if c.store, err = store.Open(StorePath(c.cfg.RunDir), claimLimit); err != nil {
		return errors.Join(fmt.Errorf("control: %w", err), c.lock.Release())
	}
	return nil
}

func (c *Control) release() error { return errors.Join(c.store.Close(), c.lock.Release()) }

// Alive returns nil if the workers turn: all have answered before ctx was done.
func (c *Control) Alive(ctx context.Context) error {
	return c.doAll(ctx, func(*graph.Worker) error { return nil })
}

// letGo closes everything that the kernel keeps without us, and changes
// nothing. stop ends the workers and returns when they have ended.
func (c *Control) letGo(stop func() error, give Hand) (failed error) {
	c.keepRedirects()
	c.mu.Lock()
	c.closing = true
	ports := slices.Clone(c.ports)
	c.mu.Unlock()
	for _, p := range ports {
		if p != nil && p.follow != nil {
			failed = errors.Join(failed, p.follow.halt())
		}
	}
	failed = errors.Join(failed, stop())
	if err := c.leaveNeighbors(); err != nil {
		c.log.Warn("the successor has to ask for all neighbours", zap.Error(err))
	}
	for _, p := range ports {
		if p == nil {
			continue
		}
		if err := c.handOn(p, give); err != nil {
			c.log.Warn("a device can't be handed on, so its carrier goes for a moment", zap.String("interface", p.Name), zap.Error(err))
		}
	}
	failed = errors.Join(failed, c.workers.Close())
	for _, p := range ports {
		if p != nil {
			failed = errors.Join(failed, p.device.Close())
		}
	}
	return failed
}

// restoreOthers gives uplinks back that an earlier configuration had.
func (c *Control) restoreOthers() error {
	has, err := takeover.Records(c.cfg.RunDir)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	for _, u := range c.cfg.Uplinks {
		has = slices.DeleteFunc(has, func(name string) bool { return name == u.Interface })
	}
	for _, name := range has {
		c.log.Info("an uplink is no longer in the configuration", zap.String("uplink", name))
		if err := takeover.Restore(c.takeOptions(name)); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	return nil
}

// replay does again what the API was asked for. What can't be any more is
// logged and left out: one stale entry must not keep a node down.
func (c *Control) replay(ctx context.Context) error {
	routes, err := c.store.Routes()
	neighbors, err2 := c.store.Neighbors()
	changes, err3 := c.store.Interfaces()
	if err := errors.Join(err, err2, err3); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	for _, x := range changes {
		if err := errors.Join(c.Change(x.Name, changeOf(x)), c.placeAgain(ctx, x.Name, x.Placement)); err != nil {
			c.log.Warn("an interface could not be changed again", zap.String("interface", x.Name), zap.Error(err))
		}
	}
	for _, line := range routes {
		err := c.AddRoute(true, func(index func(string) (uint32, bool)) (fib.Route, error) { return fib.ParseRoute(line, index) })
		if err != nil {
			c.log.Warn("a route could not be added again", zap.String("route", line), zap.Error(err))
		}
	}
	for _, n := range neighbors {
		if err := c.addNeighborText(n); err != nil {
			c.log.Warn("a neighbour could not be added again", zap.Stringer("ip", n.IP), zap.Error(err))
		}
	}
	return ctx.Err()
}

func (c *Control) addNeighborText(n store.Neighbor) error {
	m, err := net.ParseMAC(n.MAC)
	if err != nil {
		return err
	}
	return c.AddNeighbor(n.Interface, n.IP, hdr.MAC(m))
}

// changeOf returns the change that makes an interface what it was.
func changeOf(x store.Interface) Change {
	ch := Change{Up: x.Up, MTU: x.MTU, Add: x.Addrs, RxLimit: x.RxLimit, TxLimit: x.TxLimit}
	for _, a := range nodes.FeatureArcs() {
		enabled, asked := x.Features[a.Name]
		for _, f := range a.Features {
			if asked && follows(f) == "" {
				ch.Features = append(ch.Features, FeatureChange{Arc: a.Name, Feature: f, Enable: slices.Contains(enabled, f)})
			}
		}
	}
	return ch
}

// remember keeps a change of an interface for the next start. c.mu is held.
func (c *Control) remember(p *port, ch Change) error {
	x := &p.asked
	x.Name = p.Name
	if ch.Up != nil {
		x.Up = ch.Up
	}
	if ch.MTU != nil {
		x.MTU = ch.MTU
	}
	if ch.RxLimit != nil {
		x.RxLimit = ch.RxLimit
	}
	if ch.TxLimit != nil {
		x.TxLimit = ch.TxLimit
	}
	if len(ch.Add)+len(ch.Del) > 0 {
		x.Addrs = slices.Clone(p.addrs)
	}
	for _, f := range ch.Features {
		for _, a := range nodes.FeatureArcs() {
			if a.Name == f.Arc {
				if x.Features == nil {
					x.Features = map[string][]string{}
				}
				x.Features[a.Name] = a.Names(p.Feat[a.ID])
			}
		}
	}
	return c.remembered(c.store.PutInterface(*x))
}

// remembered says of an error that the change itself is in force.
func (c *Control) remembered(err error) error {
	if err != nil {
		return fmt.Errorf("control: done, but it will not survive a restart: %w", err)
	}
	return nil
}

// routeKey is what a route of the API is remembered by: there is one of each
// prefix and metric.
func routeKey(r fib.Route) string { return r.Prefix.String() + " " + strconv.Itoa(int(r.Metric)) }

// forgetInterface drops what was asked for of an interface that is deleted.
// c.mu is held.
func (c *Control) forgetInterface(name string, routes []fib.Route, neighbors []netip.Addr) (failed error) {
	for _, r := range routes {
		failed = errors.Join(failed, c.store.DelRoute(routeKey(r)))
	}
	for _, ip := range neighbors {
		failed = errors.Join(failed, c.store.DelNeighbor(name, ip))
	}
	return errors.Join(failed, c.store.DelTun(name))
}
