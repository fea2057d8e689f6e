package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/pending"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/tuntap"
)

// Requests for TUNs that come beside each other, and TUNs whose pods have gone.

// An Attached is a TUN that a container runtime has asked for.
type Attached struct {
	Name string
	MTU  uint32 // bytes
	Peer Peer
}

// Attachments returns the TUNs that container runtimes have asked for, by name.
func (c *Control) Attachments(ctx context.Context) (out []Attached, err error) {
	if err := c.AwaitReady(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.ports {
		if p != nil && p.peer.Attachment.ContainerID != "" {
			out = append(out, Attached{p.Name, p.MTU, p.peer})
		}
	}
	slices.SortFunc(out, func(a, b Attached) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// AwaitReady waits until all that was there before is there again.
func (c *Control) AwaitReady(ctx context.Context) error {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return fmt.Errorf("control: %w: the daemon is starting: %w", ErrBusy, ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return fmt.Errorf("control: %w: the daemon is stopping", ErrBusy)
	}
	return nil
}

// turns are the names of TUNs that somebody creates or deletes, and the
// addresses that they are to have.
type turns struct {
	names map[string]chan struct{} // closed at the end
	addrs map[netip.Addr]string
}

// lockTun waits until nobody else creates or deletes the TUN, and keeps others
// from it. An empty name is chosen.
func (c *Control) lockTun(ctx context.Context, name *string) (unlock func(), err error) {
	for {
		c.mu.Lock()
		if *name == "" {
			*name = c.unusedName("tun")
		}
		other, busy := c.turns.names[*name]
		if !busy {
			mine := make(chan struct{})
			c.turns.names[*name] = mine
			c.mu.Unlock()
			return func() { c.unlockTun(*name, mine) }, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("control: %s: %w: somebody else is at it: %w", *name, ErrBusy, ctx.Err())
		}
	}
}

func (c *Control) unlockTun(name string, mine chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.turns.names, name)
	for a, of := range c.turns.addrs {
		if of == name {
			delete(c.turns.addrs, a)
		}
	}
	close(mine)
}

// unusedName returns prefix with the first number that nobody has. c.mu is
// held.
func (c *Control) unusedName(prefix string) string {
	for n := 0; ; n++ {
		name := fmt.Sprint(prefix, n)
		if _, taken := c.index(name); taken {
			continue
		}
		if _, taken := c.turns.names[name]; !taken {
			return name
		}
	}
}

// undisturbed is for what has begun and is to come to an end, whether or not
// somebody still waits for it.
func undisturbed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), configs.StopTimeout)
}

// endPending carries out what could not be told to a daemon.
func (c *Control) endPending() error {
	all, err := pending.All(c.cfg.RunDir)
	if err != nil {
		c.log.Error("records of attachments that have ended", zap.Error(err))
	}
	for _, r := range all {
		c.log.Info("an attachment has ended meanwhile", zap.String("interface", r.Name))
		if err := errors.Join(r.Delete(), c.store.DelTun(r.Name), pending.Del(c.cfg.RunDir, r.Name)); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	return nil
}

// goneInterval is how often pods' namespaces are looked for.
const goneInterval = 5 * time.Second

// watchNamespaces lets go of TUNs whose namespaces have lost their names. The
// kernel keeps a namespace as long as a descriptor of a TUN in it is open: it
// would live on with nobody in it.
func (c *Control) watchNamespaces(ctx context.Context) {
	tick := time.NewTicker(goneInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, name := range c.orphans() {
			if err := c.deleteOrphan(ctx, name); err != nil {
				c.log.Warn("a pod whose namespace is gone", zap.String("interface", name), zap.Error(err))
			}
		}
	}
}

// orphans returns the TUNs whose namespaces are gone.
func (c *Control) orphans() (names []string) {
	c.mu.Lock()
	all := slices.Clone(c.ports)
	c.mu.Unlock()
	for _, p := range all {
		if p != nil && p.Kind == iface.Tun && p.orphaned() {
			names = append(names, p.Name)
		}
	}
	return names
}

// orphaned reports whether the path of the TUN's namespace leads there no more.
// Below /proc that says nothing: the process has ended, and others may be in
// its namespace.
func (p *port) orphaned() bool {
	if strings.HasPrefix(p.peer.NetNS, "/proc/") {
		return false
	}
	id, err := tuntap.IdentifyNetNS(p.peer.NetNS)
	if err != nil {
		return errors.Is(err, os.ErrNotExist) || errors.Is(err, tuntap.ErrNoNetNS)
	}
	return id != p.space
}

func (c *Control) deleteOrphan(ctx context.Context, name string) error {
	unlock, err := c.lockTun(ctx, &name)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := c.find(name)
	if err != nil || p.Kind != iface.Tun || !p.orphaned() {
		return nil // somebody was faster
	}
	c.log.Info("a pod's namespace is gone", zap.String("interface", name), zap.String("netns", p.peer.NetNS))
	return c.deleteTun(ctx, p)
}

// TunAt returns the name of the TUN that a namespace has under a name of its
// own, or "" if there is none.
func (c *Control) TunAt(ctx context.Context, netNS, ifName string) (string, error) {
	if err := c.AwaitReady(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.ports {
		if p != nil && p.Kind == iface.Tun && p.peer.NetNS == netnsPath(netNS) && p.peer.Name == ifName {
			return p.Name, nil
		}
	}
	return "", nil
}
