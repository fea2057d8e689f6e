package takeover

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/skein-dataplane/skein/control/redirect"
)

// Restore gives an uplink back to the host, the calling thread's namespace,
// from what o.Dir holds. It may be called at any time, again and again, after
// whatever has happened: if there is nothing to give back it does nothing. The
// caller has the Lock of o.Dir. It deletes only what is marked as Skein's.
func Restore(o Options) error {
	rec, err := load(o.Dir, o.Uplink)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	name := o.Uplink
	for _, s := range []step{
		{"remove the TAP that stands for " + name, rec.removeTaps},
		{"move " + name + " back", rec.moveBack},
		{"give " + name + " its configuration", rec.Host.apply},
		{"remove the table of nftables", rec.removeRedirects},
		{"remove the namespace " + rec.NetNS, func() error { return dropNetNS(rec.NetNS) }},
		{"remove the record of " + name, func() error { return rec.remove(o.Dir) }},
	} {
		o.progress(s.what)
		if err := s.do(); err != nil {
			return fmt.Errorf("takeover: %s: %w", s.what, err)
		}
	}
	return nil
}

// removeRedirects removes the table that leads processes of the host to Skein.
// It comes after the uplink: the host is not to be without that because of it.
func (r *record) removeRedirects() error {
	if !r.Redirects {
		return nil
	}
	return redirect.Remove()
}

// removeTaps removes the TAP under either of its names.
func (r *record) removeTaps() error {
	r.Host.Heard = onlyGateways(&r.Host)
	for _, name := range []string{r.tempName(), r.Host.Name} {
		link, err := netlink.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if !ours(link, r.Host.Name) {
			continue // the uplink itself, or somebody else's
		}
		if _, now, err := readNeighbors(link.Attrs().Index); err == nil && len(now) > 0 {
			r.Host.Heard = now
		}
		if err := netlink.LinkDel(link); err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			return fmt.Errorf("delete %s: %w", name, err)
		}
	}
	return nil
}

// onlyGateways returns the neighbours of a record that are worth being tried
// though they may have changed since.
func onlyGateways(s *Snapshot) []Neighbor {
	gateways := s.Gateways()
	return slices.DeleteFunc(slices.Clone(s.Heard), func(n Neighbor) bool { return !slices.Contains(gateways, n.IP) })
}

// ours reports whether a link is the TAP that stands for an uplink.
func ours(link netlink.Link, uplink string) bool {
	return link.Type() == "tuntap" && link.Attrs().Alias == tapAlias(uplink)
}

// standsFor returns the uplink that a TAP of Skein's stands for.
func standsFor(link netlink.Link) (uplink string, ok bool) {
	return strings.CutPrefix(link.Attrs().Alias, tapAlias(""))
}

// moveBack moves the uplink out of its namespace, if it is there, to where the
// TAP was.
func (r *record) moveBack() error {
	if !isNetNS(r.NetNS) {
		return nil // it has never left, or is back already
	}
	h, err := handleAt(r.NetNS)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(r.Host.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	if other, err := netlink.LinkByName(r.Host.Name); err == nil {
		return fmt.Errorf("there is another %s, of type %s, that is not Skein's: rename or delete it", r.Host.Name, other.Type())
	}
	host, err := netns.Get()
	if err != nil {
		return err
	}
	defer host.Close()
	return h.LinkSetNsFd(link, int(host))
}

func handleAt(path string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer ns.Close()
	return netlink.NewHandleAt(ns)
}
