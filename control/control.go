// Package control answers one question: how does what is wanted become what
// is?
//
// A Control is the one writer: it takes uplinks over, creates TUNs, keeps
// routes and neighbours, and publishes each new State as a whole. Everybody
// who wants something changed, the configuration, the API and the data plane's
// own notices, comes through it. What the API was asked for outlives the
// process, and so do pods' TUNs. Maturity: stable
// for one worker.
package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/dhcprelay"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// What can be wrong with a request.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrInvalid  = errors.New("invalid")
	ErrBusy     = errors.New("not possible now")
)

// A Control runs one data plane.
type Control struct {
	cfg     configs.Config
	log     *zap.Logger
	started time.Time
	inherit bool                 // a predecessor has left uplinks standing
	devices map[string]*os.File  // the descriptors that it has handed on
	keep    atomic.Pointer[Hand] // leave uplinks standing for a successor
	lock    *takeover.Lock
	store   *store.Store
	relay   *dhcprelay.Relay // nil without a server

	pools    []*buf.Pool // the workers', once they run
	workers  *graph.Workers
	wake     *wakeLatency      // nil: the kernel decides
	sharding *session.Sharding // which of them a flow belongs to
	pub      *state.Publisher

	// placing is held while queues are given to workers, moved and taken away; it
	// is taken before mu.
	placing sync.Mutex

	mu        sync.Mutex // guards everything below
	rib       ribs
	ports     []*port              // by interface index; nil where there is none
	mirrored  map[wayKey]fib.Route // what the RIB has because the host has it
	gone      []goneIndex          // indices without an interface, the longest so first
	deny      denyList
	neighbors map[neighborKey]*neighbor
	// unresolved is how many of neighbors have not answered.
	unresolved int
	pings      pings
	policies   policies
	lists      map[string]lists // configured, by interface
	nat        translation
	files      [2]string         // what files of policy and services were when they were last read; watchFiles' own, once ready
	unread     map[string]string // why files that have changed could not be read again: of "policy", "services"
	opening    sync.Mutex        // guards tables and sessionsClosed, and comes before mu
	tables     []*session.Table  // the workers', once there is policy
	// sessionsClosed: the workers have ended, and there will be no table any more.
	sessionsClosed bool
	closing        bool
	turns          turns
	ready          chan struct{} // closed once all that was there before is there again

	failed chan error // what makes it useless to go on
}

// New makes the data plane that cfg asks for. Nothing outside the process is
// touched before Run.
func New(cfg configs.Config, log *zap.Logger) (*Control, error) {
	c := &Control{cfg: cfg, log: log, started: time.Now(), pub: state.NewPublisher(), rib: newRIBs(),
		ports: make([]*port, 1), neighbors: map[neighborKey]*neighbor{}, nat: newTranslation(&cfg),
		turns: turns{names: map[string]chan struct{}{}, addrs: map[netip.Addr]string{}}, ready: make(chan struct{}), failed: make(chan error, 1)}
	c.relay = newRelay(cfg.CNI, log)
	var err error
	if c.policies, err = newPolicies(cfg.Policy); err != nil {
		return nil, err
	}
	if c.lists, err = newLists(cfg.ACLs); err != nil {
		return nil, err
	}
	if err := c.newWorkers(); err != nil {
		return nil, err
	}
	return c, nil
}

// Run moves packets until ctx is done, and then gives back what it has taken,
// or, after Keep, leaves it standing. Pods' TUNs stay in any case, with nobody
// reading them. ready is called when everything that the configuration asks
// for is there; if it can't be had, Run undoes what it has done and returns the
// reason.
func (c *Control) Run(ctx context.Context, ready func()) error {
	if err := c.claim(); err != nil {
		return errors.Join(err, c.closeWorkers())
	}
	work, stopWork := context.WithCancel(context.Background())
	workers := make(chan error, 1)
	go func() { workers <- c.workers.Run(work) }()

	var wg sync.WaitGroup
	for _, w := range c.workers.All() {
		wg.Go(func() { c.watchNotices(work, w) })
	}
	for _, f := range []func(context.Context){c.ageNeighbors, c.watchNamespaces, c.watchServices, c.watchRedirects, c.watchFiles} {
		wg.Go(func() { f(work) })
	}
	if c.wake != nil {
		wg.Go(func() { c.wake.run(work, c.log) })
	}

	err := c.configure(ctx)
	if err == nil {
		close(c.ready)
		ready()
		select {
		case <-ctx.Done():
		case err = <-c.failed:
		case err = <-workers:
			workers <- err // for below
		}
	}
	stop := func() error {
		stopWork()
		wg.Wait()
		ended := <-workers
		if err := c.leaveAffinity(); err != nil {
			c.log.Warn("clients of services may get other backends", zap.Error(err))
		}
		return ended
	}
	if give := c.keep.Load(); err == nil && give != nil {
		err = c.letGo(stop, *give)
	} else {
		err = errors.Join(err, c.giveBack(), stop(), c.workers.Close())
	}
	if c.relay != nil {
		c.relay.Close()
	}
	return errors.Join(err, c.closeSessions(), c.release(), c.pools[0].Arena().Close())
}

// fail ends Run, which gives back what it has taken.
func (c *Control) fail(err error) {
	select {
	case c.failed <- err:
	default: // the first reason is the one
	}
}

// configure brings up what the configuration asks for.
func (c *Control) configure(ctx context.Context) error {
	for i, p := range c.cfg.Pods { // before anything is touched
		if _, err := os.Stat(netnsPath(p.NetNS)); err != nil {
			return fmt.Errorf("pods[%d].netns: there is no such network namespace: %w", i, err)
		}
	}
	if err := c.loadPolicy(ctx); err != nil {
		return err
	}
	if err := c.loadNAT(ctx); err != nil {
		return err
	}
	c.recallAffinity(ctx)
	if err := c.restoreOthers(); err != nil {
		return err
	}
	if err := c.loadDeny(); err != nil {
		return err
	}
	uplinks, err := c.limited(c.cfg.Uplinks)
	if err != nil {
		return err
	}
	for _, u := range uplinks {
		if err := c.addUplink(ctx, u); err != nil {
			return err
		}
	}
	c.inheritNeighbors()
	if err := c.attachTuns(ctx); err != nil {
		return err
	}
	for i, line := range c.cfg.Routes {
		if err := c.addConfigRoute(line); err != nil {
			return fmt.Errorf("routes[%d]: %w", i, err)
		}
	}
	c.disinherit()
	return c.replay(ctx)
}

func (c *Control) addConfigRoute(line string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := fib.ParseRoute(line, c.index)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if r.Source == 0 {
		r.Source = fib.SourceStatic
	}
	if err := c.rib.Add(r); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return c.publish()
}

// giveBack removes all interfaces: pods first, which so lose their way before
// the uplink goes, then uplinks.
func (c *Control) giveBack() (failed error) {
	ctx, cancel := context.WithTimeout(context.Background(), configs.StopTimeout)
	defer cancel()
	c.keepRedirects()
	c.mu.Lock()
	c.closing = true
	ports := slices.Clone(c.ports)
	c.mu.Unlock()
	for _, kind := range []iface.Kind{iface.Tun, iface.Uplink} {
		for _, p := range ports {
			if p != nil && p.Kind == kind {
				failed = errors.Join(failed, c.removePort(ctx, p))
			}
		}
	}
	return failed
}

// publish makes what c holds the world of the data plane. c.mu is held.
func (c *Control) publish() error {
	ifaces := make([]iface.Iface, len(c.ports))
	var own iface.Iface // its addresses are the node's: those of the first uplink that has one
	for i, p := range c.ports {
		if p == nil {
			continue
		}
		ifaces[i] = p.Iface
		if p.Kind == iface.Uplink {
			own.Addr4, own.Addr6 = cmp.Or(own.Addr4, p.Addr4), cmp.Or(own.Addr6, p.Addr6)
		}
	}
	policy, nat := c.stateFlows()
	err := c.pub.Update(func(next *state.State) error {
		next.Ifaces, next.EchoID = ifaces, c.pings.id
		next.FIB4, next.FIB6 = c.rib.v4.Commit(), c.rib.v6.Commit()
		next.Addr4, next.Addr6 = own.Addr4, own.Addr6
		next.Deny = c.deny.state
		next.NAT = nat
		nodes.SetPolicy(next, policy)
		return nil
	})
	c.workers.Wake()
	return err
}

// index returns the index of a named interface. c.mu is held.
func (c *Control) index(name string) (uint32, bool) {
	for i, p := range c.ports {
		if p != nil && p.Name == name {
			return uint32(i), true
		}
	}
	return 0, false
}

// name returns the name of an interface. c.mu is held.
func (c *Control) name(i uint32) string {
	if int(i) < len(c.ports) && c.ports[i] != nil {
		return c.ports[i].Name
	}
	return ""
}
