package cni

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/tuntap"
)

// check compares an attachment with the result of its ADD: what the daemon
// knows, what the pod has, and what IPAM says (CNI 1.1.0, "CHECK").
func check(ctx context.Context, c *Conf, args *skel.CmdArgs) error {
	prev, err := c.previous(args.StdinData)
	if err != nil {
		return err
	}
	if prev == nil {
		return fail(types.ErrInvalidNetworkConfig, "prevResult is missing")
	}
	wants, err := resultOf(prev, args)
	if err != nil {
		return err
	}
	if err := c.checkDaemon(ctx, args, wants); err != nil {
		return err
	}
	if err := checkPod(args, prev, wants); err != nil {
		return err
	}
	return invoke.DelegateCheck(ctx, c.IPAM.Type, args.StdinData, nil)
}

// resultOf returns the addresses that a result says the interface has.
func resultOf(r *current.Result, args *skel.CmdArgs) (addrs []netip.Prefix, err error) {
	at := slices.IndexFunc(r.Interfaces, func(i *current.Interface) bool { return i.Name == args.IfName && i.Sandbox == args.Netns })
	if at < 0 {
		return nil, fail(codeMismatch, "prevResult has no interface %q in %s", args.IfName, args.Netns)
	}
	for _, ip := range r.IPs {
		if ip.Interface == nil || *ip.Interface != at {
			continue
		}
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			return nil, fail(types.ErrDecodingFailure, "prevResult: %v is not an address", ip.Address)
		}
		a = a.Unmap()
		addrs = append(addrs, netip.PrefixFrom(a, a.BitLen()))
	}
	return addrs, nil
}

func (c *Conf) checkDaemon(ctx context.Context, args *skel.CmdArgs, wants []netip.Prefix) error {
	all, err := c.attachments(ctx)
	if err != nil {
		return err
	}
	name := TunName(args.ContainerID, args.IfName)
	at := slices.IndexFunc(all, func(a *skeinpb.AttachedTun) bool { return a.Name == name })
	if at < 0 {
		return fail(codeMismatch, "the daemon does not know the attachment")
	}
	has := all[at]
	if has.Netns != args.Netns || has.Ifname != args.IfName {
		return fail(codeMismatch, "the daemon has it as %s in %s", has.Ifname, has.Netns)
	}
	for _, w := range wants {
		if !slices.Contains(has.Addresses, w.String()) {
			return fail(codeMismatch, "the daemon does not know its address %s", w.Addr())
		}
	}
	return nil
}

// checkPod looks at the pod's side.
func checkPod(args *skel.CmdArgs, prev *current.Result, wants []netip.Prefix) error {
	if _, err := tuntap.IdentifyNetNS(args.Netns); err != nil {
		return fail(types.ErrUnknownContainer, "CNI_NETNS: %v", err)
	}
	link, err := tuntap.OpenLink(args.Netns, args.IfName)
	if err != nil {
		return fail(codeMismatch, "the interface is gone: %v", err)
	}
	defer link.Close()
	st, err := link.State()
	if err != nil {
		return err
	}
	if !st.Running {
		return fail(codeMismatch, "%s is down, or nobody moves its packets", args.IfName)
	}
	addrs, err := link.Addrs()
	has, err2 := link.Routes()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	for _, w := range wants {
		if !slices.Contains(addrs, w) {
			return fail(codeMismatch, "%s has lost its address %s", args.IfName, w.Addr())
		}
	}
	for _, r := range prev.Routes {
		dst, err := netip.ParsePrefix(r.Dst.String())
		if err != nil || r.Table != nil && *r.Table != tableMain {
			continue
		}
		if !slices.ContainsFunc(has, func(x tuntap.Route) bool { return x.Dst == dst.Masked() }) {
			return fail(codeMismatch, "%s has lost its route to %s", args.IfName, dst)
		}
	}
	return nil
}

// ready reports whether an ADD can be served (CNI 1.1.0, "STATUS"). Without a
// daemon the pods that exist have no network either.
func ready(ctx context.Context, c *Conf, args *skel.CmdArgs) error {
	if _, err := c.attachments(ctx); err != nil {
		return fail(codeLimited, "%v", err)
	}
	return invoke.DelegateStatus(ctx, c.IPAM.Type, args.StdinData, nil)
}

// collectAddresses has the IPAM plugin do its own part of GC.
func (c *Conf) collectAddresses(ctx context.Context, args *skel.CmdArgs) error {
	if c.IPAM.Type == "" {
		return nil
	}
	return invoke.DelegateGC(ctx, c.IPAM.Type, args.StdinData, nil)
}
