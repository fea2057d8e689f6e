package cni

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

// leases reports whether addresses are leased by DHCP, by the plugin of
// containernetworking.
func (c *Conf) leases() bool { return c.IPAM.Type == "dhcp" }

// assign has the IPAM plugin assign addresses, and checks that they can be
// used.
func (c *Conf) assign(ctx context.Context, stdin []byte) (*current.Result, error) {
	answer, err := invoke.DelegateAdd(ctx, c.IPAM.Type, stdin, nil)
	if ctx.Err() != nil {
		return nil, fail(types.ErrTryAgainLater, "%s has not answered within %v", c.IPAM.Type, limit)
	}
	if err != nil {
		return nil, err
	}
	r, err := current.NewResultFromResult(answer)
	if err != nil {
		return nil, fail(types.ErrDecodingFailure, "%s: %v", c.IPAM.Type, err)
	}
	if len(r.IPs) == 0 {
		return nil, fail(types.ErrInvalidNetworkConfig, "%s has assigned no address", c.IPAM.Type)
	}
	return r, c.asked(r)
}

// asked checks that addresses which the runtime wants are among those assigned.
func (c *Conf) asked(r *current.Result) error {
	has := map[netip.Addr]bool{}
	for _, ip := range r.IPs {
		if a, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			has[a.Unmap()] = true
		}
	}
	for _, text := range append(c.Runtime.IPs, c.Args.CNI.IPs...) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return fail(types.ErrInvalidNetworkConfig, "ips: %q is not an address", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if !has[p.Addr()] {
			return fail(types.ErrUnsupportedField, "field \"ips\" with the value %q: %s has not assigned it", text, c.IPAM.Type)
		}
	}
	return nil
}

// release has the IPAM plugin release an attachment's addresses.
func (c *Conf) release(ctx context.Context, stdin []byte) error {
	if c.IPAM.Type == "" {
		return nil
	}
	return invoke.DelegateDel(ctx, c.IPAM.Type, stdin, nil)
}

// releaseOf does so for another attachment than that of the environment.
func (c *Conf) releaseOf(ctx context.Context, stdin []byte, a *skeinpb.AttachedTun) error {
	if c.IPAM.Type == "" {
		return nil
	}
	path := os.Getenv("CNI_PATH")
	plugin, err := invoke.FindInPath(c.IPAM.Type, filepath.SplitList(path))
	if err != nil {
		return err
	}
	return invoke.ExecPluginWithoutResult(ctx, plugin, stdin, &invoke.Args{Command: "DEL", Path: path,
		ContainerID: a.GetAttachment().GetContainerId(), IfName: a.Ifname}, nil)
}

// addresses returns what a pod gets: each address alone. What is on its link is
// Skein.
func addresses(r *current.Result) (out []string, err error) {
	seen := map[netip.Addr]bool{}
	for _, ip := range r.IPs {
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if a = a.Unmap(); !ok || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			return nil, fail(types.ErrInvalidNetworkConfig, "the IPAM plugin has assigned %v, which no pod can have", ip.Address)
		}
		if seen[a] {
			return nil, fail(types.ErrInvalidNetworkConfig, "the IPAM plugin has assigned %s twice", a)
		}
		seen[a] = true
		out = append(out, netip.PrefixFrom(a, a.BitLen()).String())
	}
	return out, nil
}

// The kernel's numbers for what routes mean where they say nothing
// (linux/rtnetlink.h: RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK).
const tableMain, scopeUniverse, scopeLink = 254, 0, 253

// routes returns the routes of a result. Their gateways have no meaning on a
// TUN, which leads to Skein whatever the next hop.
func routes(r *current.Result) (out []*skeinpb.PodRoute, err error) {
	for _, x := range r.Routes {
		p, err := netip.ParsePrefix(x.Dst.String())
		if err != nil {
			return nil, fail(types.ErrInvalidNetworkConfig, "route to %v: %v", x.Dst, err)
		}
		if x.Scope != nil && *x.Scope != scopeUniverse && *x.Scope != scopeLink {
			return nil, fail(types.ErrUnsupportedField, "field \"scope\" with the value %d, of the route to %s", *x.Scope, p)
		}
		m := &skeinpb.PodRoute{Prefix: p.Masked().String(), Mtu: uint32(max(0, x.MTU)), Advmss: uint32(max(0, x.AdvMSS)), Metric: uint32(max(0, x.Priority))}
		if x.Table != nil && *x.Table != tableMain {
			m.Table = uint32(max(0, *x.Table))
		}
		out = append(out, m)
	}
	return out, nil
}
