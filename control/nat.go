package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/service"
	"github.com/skein-dataplane/skein/state"
)

// translation is what control knows of services and of source NAT. c.mu guards
// it but for news.
type translation struct {
	// active is set by the first service, pool, mapping or hostPort, and stays
	// until the daemon ends.
	active    bool
	table     *service.Table
	world     service.World
	sources   map[string]string   // whose each object is: a file's, or apiSource
	pods      map[netip.Addr]bool // that table knows
	hostPorts map[string]bool     // pods that have some
	pools     map[netip.Prefix]Pool
	exclude   []netip.Prefix // that the configuration says
	maps      map[nat.Static]bool
	routed    map[netip.Prefix]bool // addresses of maps that are Skein's
	cidrs     []netip.Prefix        // services.cidrs
	vips      vipRoutes

	outgoing  *nat.Outgoing // nil: to be made anew
	statics   *nat.Statics
	last      *state.NAT
	news      chan struct{} // has room for one
	redirects *redirects
	gone      goneBackends
	alarms    map[string]bool // that are logged
}

// A Pool is addresses of pods, and whether these leave with the node's.
type Pool struct {
	Prefix     netip.Prefix
	Outgoing   bool
	Configured bool // by the file, not by the API
}

// A StaticMap is a mapping for good.
type StaticMap struct {
	nat.Static
	Configured bool
}

func newTranslation(cfg *configs.Config) translation {
	t := translation{sources: map[string]string{}, pods: map[netip.Addr]bool{}, hostPorts: map[string]bool{},
		pools: map[netip.Prefix]Pool{}, maps: map[nat.Static]bool{}, routed: map[netip.Prefix]bool{},
		vips: vipRoutes{of: map[string][]netip.Addr{}, used: map[netip.Addr]int{}, routed: map[netip.Prefix]bool{}},
		news: make(chan struct{}, 1), gone: newGone(), alarms: map[string]bool{}, redirects: &redirects{news: make(chan struct{}, 1)}}
	t.world = service.World{Node: nodeName(cfg.Policy), Zone: cfg.Services.Zone, APIServer: cfg.Services.APIServer}
	return t
}

// nodeName is what Kubernetes calls this node.
func nodeName(cfg configs.Policy) string {
	if cfg.NodeName != "" {
		return cfg.NodeName
	}
	name, _ := os.Hostname() // without a name no endpoint, and no HostEndpoint, is this node's
	return name
}

// loadNAT takes up what the configuration and the API have asked for, before
// there are pods or uplinks.
func (c *Control) loadNAT(ctx context.Context) error {
	c.files[serviceFiles] = stateOfFiles(c.cfg.Services.Files)
	files, err := readServices(c.cfg.Services.Files)
	if err != nil {
		return err
	}
	stored, err := c.store.Services()
	asked, err2 := c.store.NAT()
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	t := &c.nat
	if t.world.Known, err = prefixes(c.cfg.Services.Endpoints); err != nil {
		return fmt.Errorf("control: services.endpoints: %w", err)
	}
	t.table = service.NewTable(t.world)
	if !c.cfg.Translates() && len(stored)+len(asked) == 0 {
		return nil
	}
	if err := c.openSessions(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.active = true
	c.checkNATPorts()
	if err := c.configureNAT(); err != nil {
		return err
	}
	for _, f := range files {
		if err := t.add(f.name, f.objects); err != nil {
			return err
		}
	}
	c.restoreNAT(stored, asked)
	c.log.Info("services and NAT", zap.Int("objects", len(t.sources)), zap.Int("pools", len(t.pools)), zap.Int("mappings", len(t.maps)))
	return c.publish()
}

// configureNAT takes over what the file says. c.mu is held.
func (c *Control) configureNAT() (err error) {
	t := &c.nat
	cidrs, err := prefixes(c.cfg.Services.CIDRs)
	exclude, err2 := prefixes(c.cfg.NAT.Exclude)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("control: nat: %w", err)
	}
	t.cidrs, t.exclude = cidrs, slices.Concat(cidrs, exclude)
	for _, p := range cidrs {
		r := fib.Route{Prefix: p, Type: fib.TypeUnreachable, Source: fib.SourceStatic, Metric: lastMetric}
		if err := c.rib.Add(r); err != nil {
			return fmt.Errorf("control: services.cidrs: %w", err)
		}
	}
	for _, p := range c.cfg.NAT.Pools {
		prefix, err := netip.ParsePrefix(p.CIDR)
		if err != nil {
			return fmt.Errorf("control: nat.pools: %w", err)
		}
		t.pools[prefix] = Pool{prefix, p.Outgoing, true}
	}
	for _, line := range c.cfg.NAT.Static {
		m, err := configs.ParseStatic(line)
		if err != nil {
			return fmt.Errorf("control: nat.static: %w", err)
		}
		t.maps[m] = true
	}
	return t.setMaps(t.maps)
}

// lastMetric is of routes that any other of the same prefix goes before.
const lastMetric = 1 << 31

// restoreNAT does again what the API was asked for. What can't be any more is
// logged and left out. c.mu is held.
func (c *Control) restoreNAT(stored []store.Service, asked []store.NAT) {
	t := &c.nat
	for _, s := range stored {
		if err := t.add(apiSource, s.Objects()); err != nil {
			c.log.Warn("a service could not be had again", zap.Error(err))
		}
	}
	for _, a := range asked {
		if err := t.restore(a); err != nil {
			c.log.Warn("an entry of NAT could not be had again", zap.Error(err))
		}
	}
}

func (t *translation) restore(a store.NAT) error {
	if a.Pool.IsValid() {
		if p, there := t.pools[a.Pool]; !there || !p.Configured {
			t.pools[a.Pool] = Pool{Prefix: a.Pool, Outgoing: a.Outgoing}
		}
		return nil
	}
	m, err := configs.ParseStatic(a.Static)
	if err != nil {
		return err
	}
	if _, there := t.maps[m]; there {
		return nil
	}
	next := maps.Clone(t.maps)
	next[m] = false
	return t.setMaps(next)
}

// setMaps makes the mappings those given, or, if they can't be, changes nothing.
func (t *translation) setMaps(next map[nat.Static]bool) error {
	all := slices.SortedFunc(maps.Keys(next), compareStatics)
	s, err := nat.NewStatics(all)
	if err != nil {
		return fmt.Errorf("control: %w: %w", ErrExists, err)
	}
	t.maps, t.statics = next, s
	return nil
}

// useNAT has flows translated from now on.
func (c *Control) useNAT(ctx context.Context) error {
	if err := c.openSessions(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nat.active = true
	return nil
}

// SetPool says whether pods with addresses of a pool leave with the node's. It
// holds for flows that exist as well.
func (c *Control) SetPool(ctx context.Context, prefix netip.Prefix, outgoing bool) error {
	return c.changeNAT(ctx, func(t *translation) error {
		if t.pools[prefix].Configured {
			return fmt.Errorf("control: %w: pool %s is in the configuration", ErrExists, prefix)
		}
		t.pools[prefix] = Pool{Prefix: prefix, Outgoing: outgoing}
		t.outgoing = nil
		return c.store.PutNAT(store.NAT{Pool: prefix, Outgoing: outgoing})
	})
}

// DeletePool forgets a pool that SetPool has set.
func (c *Control) DeletePool(ctx context.Context, prefix netip.Prefix) error {
	return c.changeNAT(ctx, func(t *translation) error {
		p, there := t.pools[prefix]
		switch {
		case !there:
			return fmt.Errorf("control: pool %s: %w", prefix, ErrNotFound)
		case p.Configured:
			return fmt.Errorf("control: %w: pool %s is in the configuration", ErrBusy, prefix)
		}
		delete(t.pools, prefix)
		t.outgoing = nil
		return c.store.DelNAT(store.NAT{Pool: prefix})
	})
}

// AddStatic maps an address or a port for good.
func (c *Control) AddStatic(ctx context.Context, m nat.Static) error {
	return c.changeNAT(ctx, func(t *translation) error {
		if _, there := t.maps[m]; there {
			return nil
		}
		next := maps.Clone(t.maps)
		next[m] = false
		if err := t.setMaps(next); err != nil {
			return err
		}
		return c.store.PutNAT(store.NAT{Static: configs.StaticLine(m)})
	})
}

// DeleteStatic ends a mapping that AddStatic has made, and its flows.
func (c *Control) DeleteStatic(ctx context.Context, m nat.Static) error {
	return c.changeNAT(ctx, func(t *translation) error {
		configured, there := t.maps[m]
		switch {
		case !there:
			return fmt.Errorf("control: mapping %s: %w", configs.StaticLine(m), ErrNotFound)
		case configured:
			return fmt.Errorf("control: %w: mapping %s is in the configuration", ErrBusy, configs.StaticLine(m))
		}
		next := maps.Clone(t.maps)
		delete(next, m)
		if err := t.setMaps(next); err != nil {
			return err
		}
		return c.store.DelNAT(store.NAT{Static: configs.StaticLine(m)})
	})
}

func (c *Control) changeNAT(ctx context.Context, change func(*translation) error) error {
	if err := c.AwaitReady(ctx); err != nil {
		return err
	}
	if err := c.useNAT(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := change(&c.nat); err != nil {
		return err
	}
	return c.publish()
}
