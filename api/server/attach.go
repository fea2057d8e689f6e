package server

import (
	"context"
	"net/netip"
	"strings"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
)

func (s *service) ListAttachments(ctx context.Context, _ *pb.ListAttachmentsRequest) (*pb.ListAttachmentsResponse, error) {
	all, err := s.control.Attachments(ctx)
	if err != nil {
		return nil, err
	}
	m := &pb.ListAttachmentsResponse{}
	for i := range all {
		a, p := &all[i], &all[i].Peer
		m.Attachments = append(m.Attachments, &pb.AttachedTun{Name: a.Name, Mtu: a.MTU, Netns: p.NetNS, Ifname: p.Name, Addresses: texts(p.Addrs),
			Attachment: attachmentMessage(&p.Attachment), Workload: workloadMessage(&p.Workload), Bandwidth: bandwidthMessage(p.Bandwidth), Type: peerType(p)})
	}
	return m, nil
}

// peerType tells what a pod's side is: only an Ethernet device has a MAC.
func peerType(p *control.Peer) string {
	if p.MAC != nil {
		return configs.TypeVeth
	}
	return configs.TypeTUN
}

// podOf reads what a request says of a pod.
func podOf(r *pb.CreateTunRequest) configs.Pod {
	return configs.Pod{Name: r.Name, NetNS: r.Netns, Interface: r.Ifname, Type: r.Type, Addresses: r.Addresses, MTU: int(r.Mtu), Offload: offloadSwitch(r.Offload),
		Workload: workload(r.Workload), Routes: podRoutes(r.Routes), Sysctls: r.Sysctls, Bandwidth: bandwidth(r.Bandwidth), Attachment: attachment(r.Attachment), DHCP: r.Dhcp}
}

// checkExtras refuses what makes no sense of an attachment, routes and sysctls.
func checkExtras(r *pb.CreateTunRequest) error {
	if r.Type != "" && r.Type != configs.TypeTUN && r.Type != configs.TypeVeth {
		return invalid("%q is no type of interface: tun or veth was expected", r.Type)
	}
	if a := r.Attachment; a != nil && a.ContainerId == "" {
		return invalid("an attachment without the container's identity")
	}
	for _, p := range r.GetAttachment().GetPortMappings() {
		if _, err := netip.ParseAddr(p.HostIp); p.HostIp != "" && err != nil {
			return invalid("host_ip: %q is not an address", p.HostIp)
		}
		if p.HostPort == 0 || p.HostPort > 65535 || p.ContainerPort == 0 || p.ContainerPort > 65535 || !mappable[p.Protocol] {
			return invalid("a mapping of port %d to %d by %q: ports from 1 to 65535, and tcp, udp or sctp were expected", p.HostPort, p.ContainerPort, p.Protocol)
		}
	}
	if err := checkRoutes(r.Routes); err != nil {
		return err
	}
	for name := range r.Sysctls {
		if _, err := configs.SysctlKey(name, "IFNAME"); err != nil {
			return invalid("%s", strings.TrimPrefix(err.Error(), "configs: "))
		}
	}
	return nil
}

func checkRoutes(all []*pb.PodRoute) error {
	for _, line := range podRoutes(all) {
		if _, err := configs.ParsePodRoute(line); err != nil {
			return invalid("%s", strings.TrimPrefix(err.Error(), "configs: "))
		}
	}
	return nil
}

var mappable = map[string]bool{"tcp": true, "udp": true, "sctp": true}

// podRoutes writes routes as lines, for configs to read.
func podRoutes(all []*pb.PodRoute) (out []string) {
	for _, r := range all {
		line := configs.PodRoute{MTU: int(r.Mtu), AdvMSS: int(r.Advmss), Metric: int(r.Metric), Table: int(r.Table)}
		if p, err := netip.ParsePrefix(r.Prefix); err == nil {
			line.Prefix = p
			out = append(out, line.String())
			continue
		}
		out = append(out, r.Prefix) // which is refused
	}
	return out
}

func podRouteMessages(lines []string) (out []*pb.PodRoute) {
	for _, line := range lines {
		if r, err := configs.ParsePodRoute(line); err == nil { // it was, when it came in
			out = append(out, &pb.PodRoute{Prefix: r.Prefix.String(), Mtu: uint32(r.MTU), Advmss: uint32(r.AdvMSS), Metric: uint32(r.Metric), Table: uint32(r.Table)})
		}
	}
	return out
}

// attachment reads a message, which may be nil.
func attachment(m *pb.Attachment) configs.Attachment {
	a := configs.Attachment{ContainerID: m.GetContainerId(), Network: m.GetNetwork()}
	for _, p := range m.GetPortMappings() {
		a.Ports = append(a.Ports, configs.PortMapping{HostPort: int(p.HostPort), ContainerPort: int(p.ContainerPort), Protocol: p.Protocol, HostIP: p.HostIp})
	}
	return a
}

// attachmentMessage returns nil for a TUN that no runtime has asked for.
func attachmentMessage(a *configs.Attachment) *pb.Attachment {
	if a.ContainerID == "" {
		return nil
	}
	m := &pb.Attachment{ContainerId: a.ContainerID, Network: a.Network}
	for _, p := range a.Ports {
		m.PortMappings = append(m.PortMappings, &pb.PortMapping{HostPort: uint32(p.HostPort), ContainerPort: uint32(p.ContainerPort), Protocol: p.Protocol, HostIp: p.HostIP})
	}
	return m
}

func bandwidth(m *pb.Bandwidth) configs.Bandwidth {
	return configs.Bandwidth{IngressRate: m.GetIngressRate(), IngressBurst: m.GetIngressBurst(), EgressRate: m.GetEgressRate(), EgressBurst: m.GetEgressBurst()}
}

func bandwidthMessage(b configs.Bandwidth) *pb.Bandwidth {
	if b == (configs.Bandwidth{}) {
		return nil
	}
	return &pb.Bandwidth{IngressRate: b.IngressRate, IngressBurst: b.IngressBurst, EgressRate: b.EgressRate, EgressBurst: b.EgressBurst}
}
