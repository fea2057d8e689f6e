package cni

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/pending"
	"github.com/skein-dataplane/skein/tuntap"
)

// add makes an attachment: addresses, then the interface (CNI 1.1.0, "ADD"). An
// Ethernet device comes before its addresses, as whoever assigns them may ask
// for them there.
func add(ctx context.Context, c *Conf, args *skel.CmdArgs) error {
	req, err := c.request(args)
	if err != nil {
		return err
	}
	prev, err := c.previous(args.StdinData)
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, c.RunDir, req.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := free(args); err != nil {
		return err
	}
	client, err := c.dial(ctx) // before an address is taken
	if err != nil {
		return err
	}
	defer client.Close()
	if err := pending.Del(c.RunDir, req.Name); err != nil {
		return err
	}
	if err := c.attach(ctx, args, client, req, prev); err != nil {
		return errors.Join(err, c.undo(args))
	}
	return nil
}

// attach does what has to be undone if it fails.
func (c *Conf) attach(ctx context.Context, args *skel.CmdArgs, client *api.Client, req *skeinpb.CreateTunRequest, prev *current.Result) error {
	if req.Type == configs.TypeVeth {
		if _, err := client.CreateTun(ctx, req); err != nil {
			return err
		}
	}
	assigned, err := c.assign(ctx, args.StdinData)
	if err != nil {
		return err
	}
	if req.Addresses, err = addresses(assigned); err != nil {
		return err
	}
	if req.Routes, err = routes(assigned); err != nil {
		return err
	}
	made, err := c.create(ctx, client, req)
	if err != nil {
		return err
	}
	return c.answer(c.result(args, assigned, prev, made))
}

// create has the daemon make the interface or, where it is there, give it its
// addresses.
func (c *Conf) create(ctx context.Context, client *api.Client, req *skeinpb.CreateTunRequest) (*skeinpb.Interface, error) {
	if req.Type == configs.TypeVeth {
		m, err := client.SetTunAddresses(ctx, &skeinpb.SetTunAddressesRequest{Name: req.Name, Addresses: req.Addresses, Routes: req.Routes})
		return m.GetInterface(), err
	}
	m, err := client.CreateTun(ctx, req)
	return m.GetInterface(), err
}

// answer prints a result in the version that the runtime speaks.
func (c *Conf) answer(all *current.Result) error {
	r, err := all.GetAsVersion(c.CNIVersion)
	if err != nil {
		return fail(types.ErrIncompatibleCNIVersion, "%v", err)
	}
	var out bytes.Buffer
	if err := r.PrintTo(&out); err != nil {
		return fail(types.ErrIOFailure, "%v", err)
	}
	if _, err := os.Stdout.Write(out.Bytes()); err != nil {
		return fail(types.ErrIOFailure, "%v", err)
	}
	return nil
}

// undo ends what an ADD has begun. Its time is its own: the ADD may have failed
// because its own was up.
func (c *Conf) undo(args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.end(ctx, args)
}

// request returns what the daemon is asked for, but for what IPAM decides.
func (c *Conf) request(args *skel.CmdArgs) (*skeinpb.CreateTunRequest, error) {
	w, err := podArgs(args.Args)
	if err != nil {
		return nil, err
	}
	ports, err := c.portMappings()
	if err != nil {
		return nil, err
	}
	rate, err := c.bandwidth()
	if err != nil {
		return nil, err
	}
	if c.leases() && c.interfaceType() != configs.TypeVeth {
		return nil, fail(types.ErrInvalidNetworkConfig, "ipam.type: %s asks over an Ethernet device, which a TUN is not: set interfaceType to veth", c.IPAM.Type)
	}
	return &skeinpb.CreateTunRequest{Name: TunName(args.ContainerID, args.IfName), Netns: args.Netns, Ifname: args.IfName,
		Mtu: uint32(c.MTU), Type: c.interfaceType(), Offload: c.Offload, Workload: w, Sysctls: c.Sysctls, Bandwidth: rate, Dhcp: c.leases(),
		Attachment: &skeinpb.Attachment{ContainerId: args.ContainerID, Network: c.Name, PortMappings: ports}}, nil
}

// free checks that the namespace is one, and has no such interface.
func free(args *skel.CmdArgs) error {
	there, err := tuntap.IdentifyNetNS(args.Netns)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fail(types.ErrUnknownContainer, "CNI_NETNS: %v", err)
	case err != nil:
		return fail(types.ErrInvalidEnvironmentVariables, "CNI_NETNS: %v", err)
	}
	if here, err := tuntap.IdentifyNetNS("/proc/self/ns/net"); err == nil && here == there {
		return fail(types.ErrInvalidEnvironmentVariables, "CNI_NETNS: %s is the node's own network namespace", args.Netns)
	}
	link, err := tuntap.OpenLink(args.Netns, args.IfName)
	if err == nil {
		link.Close()
		return fail(types.ErrInvalidEnvironmentVariables, "CNI_IFNAME: %s has an interface %q already", args.Netns, args.IfName)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// previous returns the result of the plugin before this one in a list, or nil.
func (c *Conf) previous(stdin []byte) (*current.Result, error) {
	if c.RawPrevResult == nil {
		return nil, nil
	}
	if err := version.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, fail(types.ErrDecodingFailure, "prevResult: %v", err)
	}
	r, err := current.NewResultFromResult(c.PrevResult)
	if err != nil {
		return nil, fail(types.ErrDecodingFailure, "prevResult: %v", err)
	}
	return r, nil
}

// result says what the pod has got, besides what it had before.
func (c *Conf) result(args *skel.CmdArgs, assigned, prev *current.Result, made *skeinpb.Interface) *current.Result {
	r := &current.Result{CNIVersion: current.ImplementedSpecVersion, DNS: *c.PluginConf.DNS.Copy()}
	if prev != nil {
		r.Interfaces, r.IPs, r.Routes = prev.Interfaces, prev.IPs, prev.Routes
		if r.DNS.IsEmpty() {
			r.DNS = prev.DNS
		}
	}
	index := len(r.Interfaces)
	r.Interfaces = append(r.Interfaces, &current.Interface{Name: args.IfName, Sandbox: args.Netns, Mtu: int(made.GetMtu()), Mac: made.GetPeer().GetMac()})
	for _, ip := range assigned.IPs {
		bits := 8 * net.IPv6len
		if v4 := ip.Address.IP.To4(); v4 != nil {
			bits = 8 * net.IPv4len
		}
		r.IPs = append(r.IPs, &current.IPConfig{Interface: current.Int(index), Address: net.IPNet{IP: ip.Address.IP, Mask: net.CIDRMask(bits, bits)}})
	}
	for _, x := range assigned.Routes {
		x = x.Copy()
		x.GW = nil
		r.Routes = append(r.Routes, x)
	}
	if !assigned.DNS.IsEmpty() {
		r.DNS = assigned.DNS
	}
	if d := c.Runtime.DNS; d != nil {
		r.DNS.Nameservers, r.DNS.Search, r.DNS.Options = d.Servers, d.Searches, d.Options
	}
	return r
}
