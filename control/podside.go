package control

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/tuntap"
)

// configurePod sets the pod's side up: routes first, so that there is no moment
// at which the pod has an address and no way. A default route that the
// namespace has by another interface stays: the TUN is then the way of its own
// addresses only.
func (c *Control) configurePod(pod configs.Pod, addrs []netip.Prefix) error {
	routes, err := podRoutes(pod, addrs)
	if err != nil {
		return err
	}
	link, err := tuntap.OpenLink(pod.NetNS, pod.Interface)
	if err != nil {
		return fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	defer link.Close()
	if err := c.setPodUp(link, pod, addrs, routes); err != nil {
		return fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	// Last, as it is seldom waited for then. Who sets the interface down
	// meanwhile has asked for it.
	if err := errors.Join(link.AwaitRunning(), awaitVeth(pod)); err != nil {
		c.log.Warn("a pod's first packets may be lost", zap.String("interface", pod.Name), zap.Error(err))
	}
	return nil
}

func (c *Control) setPodUp(link *tuntap.Link, pod configs.Pod, addrs []netip.Prefix, routes []tuntap.Route) error {
	if err := link.SetUp(); err != nil {
		return err
	}
	if _, has6 := families(addrs); has6 {
		if err := link.EnableIPv6(); err != nil {
			return err
		}
	}
	if err := setSysctls(link, pod); err != nil {
		return err
	}
	if pod.Type == configs.TypeVeth {
		if err := setGateways(link, addrs, routes); err != nil {
			return err
		}
	}
	for _, r := range routes {
		err := link.AddRoute(r)
		if errors.Is(err, os.ErrExist) && r.Dst.Bits() == 0 {
			c.log.Info("a pod keeps the default route that it has", zap.String("interface", pod.Name), zap.Error(err))
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, a := range addrs {
		if err := link.AddAddr(a); err != nil {
			return err
		}
	}
	return removeOthers(link, addrs)
}

// podRoutes returns the routes of a pod: those that it is given, and a default
// route for each family of its addresses.
func podRoutes(pod configs.Pod, addrs []netip.Prefix) (out []tuntap.Route, err error) {
	has4, has6 := families(addrs)
	for _, line := range pod.Routes {
		r, err := configs.ParsePodRoute(line)
		if err != nil {
			return nil, fmt.Errorf("control: pod %s: %w: %w", pod.Name, ErrInvalid, err)
		}
		if is4 := r.Prefix.Addr().Is4(); is4 && !has4 || !is4 && !has6 {
			return nil, fmt.Errorf("control: pod %s: %w: route %s, but no address of its family", pod.Name, ErrInvalid, r)
		}
		out = append(out, tuntap.Route{Dst: r.Prefix, MTU: r.MTU, AdvMSS: r.AdvMSS, Metric: r.Metric, Table: r.Table})
	}
	for dst, has := range map[netip.Addr]bool{netip.IPv4Unspecified(): has4, netip.IPv6Unspecified(): has6} {
		whole := netip.PrefixFrom(dst, 0)
		given := slices.ContainsFunc(out, func(r tuntap.Route) bool { return r.Dst == whole && r.Table == 0 })
		if has && !given {
			out = append(out, tuntap.Route{Dst: whole})
		}
	}
	return out, nil
}

func setSysctls(link *tuntap.Link, pod configs.Pod) error {
	for name, value := range pod.Sysctls {
		key, err := configs.SysctlKey(name, pod.Interface)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if err := link.SetSysctl(key, value); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: sysctl %s: the kernel has no such parameter", ErrInvalid, name)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// families reports which families there are addresses of.
func families(addrs []netip.Prefix) (has4, has6 bool) {
	for _, a := range addrs {
		has4, has6 = has4 || a.Addr().Is4(), has6 || a.Addr().Is6()
	}
	return has4, has6
}

// removeOthers takes addresses away that a pod has had before.
func removeOthers(link *tuntap.Link, addrs []netip.Prefix) error {
	has, err := link.Addrs()
	for _, a := range has {
		if !slices.Contains(addrs, a) {
			err = errors.Join(err, link.DelAddr(a))
		}
	}
	return err
}

// limit sets how much may pass the TUN: what comes in here is what the pod
// sends. A burst without a rate says nothing.
func (p *port) limit(b configs.Bandwidth) error {
	rx, tx := configs.RateLimit{}, configs.RateLimit{}
	if b.EgressRate != 0 {
		rx = configs.RateLimit{Bandwidth: b.EgressRate, Burst: b.EgressBurst}
	}
	if b.IngressRate != 0 {
		tx = configs.RateLimit{Bandwidth: b.IngressRate, Burst: b.IngressBurst}
	}
	return p.setLimits(&rx, &tx)
}
