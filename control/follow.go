package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/tuntap"
)

const (
	// quiet is how long the kernel's news are gathered before they are looked
	// at: a DHCP client's new address and routes come within a millisecond or
	// two of each other.
	quiet = 20 * time.Millisecond
	// retryEvery is when something is tried again that could not be followed.
	retryEvery = 2 * time.Second
)

// A follower keeps the TAP of an uplink, the NIC and the data plane in step
// with what the host does later. The kernel's news say only that something has
// changed: each time everything is read, and what differs is changed. So no
// news can be missed for good, and none does harm that comes twice.
type follower struct {
	c       *Control
	name    string // of the uplink, as the host knows it
	up, tap *port
	take    *takeover.Takeover
	nic     *netlink.Handle // in the NIC's namespace
	own     []tuntap.Route  // what the host needs to reach pods and services

	was  sides             // of the links, when they were last looked at
	seen side              // of the NIC, as the data plane has it
	told bool              // whether the TAP has a carrier
	last takeover.Snapshot // as the record has it
	at   time.Time         // when that was read
	odd  string            // what was last complained about
	gone bool              // the TAP was not there at the last look

	wake chan struct{} // there is news
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// follow begins to follow the host. own are the host's routes to what is
// behind Skein; they are kept there.
func (c *Control) follow(up, tap *port, take *takeover.Takeover, own []tuntap.Route) (err error) {
	f := &follower{c: c, name: take.Host.Name, up: up, tap: tap, take: take, own: own, told: true,
		last: *take.Host, at: time.Now(), wake: make(chan struct{}, 1)}
	ns, err := netns.GetFromPath(take.NetNS)
	if err != nil {
		return fmt.Errorf("control: follow %s: %s: %w", f.name, take.NetNS, err)
	}
	defer ns.Close()
	if f.nic, err = netlink.NewHandleAt(ns); err != nil {
		return fmt.Errorf("control: follow %s: %w", f.name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	err = errors.Join(f.watch(ctx, netns.None(), take.Tap.Index()), f.watch(ctx, ns, 0))
	if err != nil {
		f.end()
		return fmt.Errorf("control: follow %s: %w", f.name, err)
	}
	side := sideOf(*take.Host)
	f.was, f.seen = sides{tap: side, nic: side}, side
	// What a daemon before this one has told the TAP is not known.
	f.told = !side.up || f.readNIC(side).carrier
	if err := take.Tap.SetCarrier(f.told); err != nil {
		f.end()
		return fmt.Errorf("control: follow %s: %w", f.name, err)
	}
	f.look() // what has changed since the takeover began
	c.mu.Lock()
	up.follow = f
	c.mu.Unlock()
	f.wg.Go(func() { f.run(ctx) })
	return nil
}

// run looks whenever there is news.
func (f *follower) run(ctx context.Context) {
	retry := time.NewTimer(retryEvery)
	defer retry.Stop()
	pause := quiet
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-retry.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		select {
		case <-f.wake: // what it was about is looked at now
		default:
		}
		retry.Stop()
		start := time.Now()
		if !f.look() {
			retry.Reset(retryEvery)
		}
		// A table that takes long to read is not read all the time.
		pause = max(quiet, 4*time.Since(start))
	}
}

// halt stops following. What the host has at that moment goes to the record,
// with what is left of its addresses' lifetimes.
func (f *follower) halt() error {
	f.stop()
	f.wg.Wait()
	var err error
	if now, _, gone := f.take.Now(); gone == nil {
		err = f.take.Update(*now)
	}
	f.end()
	return err
}

// end releases what the follower holds.
func (f *follower) end() {
	f.stop()
	f.wg.Wait()
	f.nic.Close()
}

// look brings everything in step, and reports whether it could.
func (f *follower) look() bool {
	err := f.step()
	if !errors.Is(err, takeover.ErrGone) {
		f.gone = false
	} else if f.gone {
		// Without its TAP the host is cut off until it gets the uplink back.
		f.c.fail(fmt.Errorf("control: uplink %s: %w", f.name, err))
	} else {
		f.gone = true // perhaps it is only being renamed
	}
	switch {
	case err == nil:
		f.odd = ""
	case f.odd != err.Error():
		f.odd = err.Error()
		f.c.log.Warn("a change on the host could not be followed", zap.String("uplink", f.name), zap.Error(err))
	}
	return err == nil
}

func (f *follower) step() error {
	now, odd, err := f.take.Now()
	if err != nil {
		return err
	}
	is := sides{tap: sideOf(*now), nic: f.readNIC(sideOf(*now))}
	steps := agree(f.was, is, f.told)
	f.was = is
	failed := odd
	for _, s := range steps {
		if err := f.do(s); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s, err))
			continue
		}
		f.c.log.Info("link followed", zap.String("uplink", f.name), zap.Stringer("change", s))
	}
	if len(steps) > 0 {
		if now, _, err = f.take.Now(); err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
	nic := f.readNIC(sideOf(*now))
	return errors.Join(append(failed, f.keepRoutes(now), f.c.mirror(f, now, nic), f.record(now))...)
}

// keepRoutes puts back what somebody has deleted of the host's routes to pods
// and services, and brings those to ClusterIPs up to date.
func (f *follower) keepRoutes(now *takeover.Snapshot) error {
	if !now.Up {
		return nil // the kernel has none over a link that is down
	}
	link, err := tuntap.OpenLink("", f.name)
	if err != nil {
		return err
	}
	defer link.Close()
	has, err := link.Routes()
	if err != nil {
		return err
	}
	type key struct {
		dst    netip.Prefix
		metric int
	}
	extra := map[key]tuntap.Route{}
	for _, h := range has {
		extra[key{h.Dst, h.Metric}] = h
	}
	var failed error
	for _, r := range slices.Concat(f.own, f.c.vipHostRoutes(f.up.rank)) {
		if _, there := extra[key{r.Dst, r.Metric}]; !there {
			failed = errors.Join(failed, link.AddRoute(r))
		}
		delete(extra, key{r.Dst, r.Metric})
	}
	for _, h := range extra {
		if h.Dst.IsSingleIP() { // of a service that is gone
			failed = errors.Join(failed, link.DelRoute(h))
		}
	}
	return failed
}

// record writes down what to give back, if that has changed.
func (f *follower) record(now *takeover.Snapshot) error {
	changes := Differences(f.last, *now)
	if len(changes) == 0 && !renewed(f.last, *now, time.Since(f.at)) {
		return nil
	}
	if err := f.take.Update(*now); err != nil {
		return err
	}
	f.last, f.at = *now, time.Now()
	if len(changes) > 0 {
		f.c.log.Info("host followed", zap.String("uplink", f.name), zap.Strings("changes", changes))
	}
	return nil
}

// ip6Metric is the metric of an IPv6 route that is given none
// (IP6_RT_PRIO_USER, linux/ipv6_route.h); for IPv4 it is 0.
const ip6Metric = 1024

// ownHostRoutes returns the host's routes to what is behind Skein. Those by the
// first uplink are preferred: two of one metric would take each other's place.
// Metrics are as the kernel reports them, so that a route that is there is found.
func ownHostRoutes(prefixes []string, rank int) (out []tuntap.Route, err error) {
	for _, text := range prefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("control: host route %q: %w", text, err)
		}
		out = append(out, hostRoute(p, rank))
	}
	return out, nil
}

func hostRoute(p netip.Prefix, rank int) tuntap.Route {
	if p.Addr().Is6() {
		return tuntap.Route{Dst: p, Metric: rank + ip6Metric}
	}
	return tuntap.Route{Dst: p, Metric: rank}
}
