package cni

import (
	"cmp"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
)

// podArgs reads CNI_ARGS ("K=V;K=V"): what Kubernetes runtimes say of a pod.
// Other keys are for the IPAM plugin, or nobody.
func podArgs(text string) (*skeinpb.Workload, error) {
	w := &skeinpb.Workload{}
	for pair := range strings.SplitSeq(text, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fail(types.ErrInvalidEnvironmentVariables, "CNI_ARGS: %q where KEY=VALUE was expected", pair)
		}
		switch key {
		case "K8S_POD_NAMESPACE":
			w.Namespace = value
		case "K8S_POD_NAME":
			w.Name = value
		case "K8S_POD_UID":
			w.Uid = value
		case "MAC":
			return nil, fail(types.ErrUnsupportedField, "CNI_ARGS: MAC=%s: Skein chooses link addresses itself", value)
		}
	}
	if w.Name == "" {
		return nil, nil
	}
	return w, nil
}

// bandwidth returns what may pass: what the runtime says, else the pod's
// annotations, else the configuration.
func (c *Conf) bandwidth() (*skeinpb.Bandwidth, error) {
	b := c.Bandwidth
	asked, err := configs.BandwidthOf(c.Runtime.Annotations)
	if err != nil {
		return nil, fail(types.ErrInvalidNetworkConfig, "%v", err)
	}
	b.IngressRate, b.EgressRate = cmp.Or(asked.IngressRate, b.IngressRate), cmp.Or(asked.EgressRate, b.EgressRate)
	if c.Runtime.Bandwidth != nil {
		b = *c.Runtime.Bandwidth
	}
	if b == (Bandwidth{}) {
		return nil, nil
	}
	return &skeinpb.Bandwidth{IngressRate: b.IngressRate, IngressBurst: b.IngressBurst, EgressRate: b.EgressRate, EgressBurst: b.EgressBurst}, nil
}

// portMappings reads the capability of that name.
func (c *Conf) portMappings() (out []*skeinpb.PortMapping, err error) {
	for _, p := range c.Runtime.PortMappings {
		if p.HostPort == 0 {
			continue // Kubernetes passes ports that are only named (CONVENTIONS.md)
		}
		protocol := strings.ToLower(p.Protocol)
		if protocol == "" {
			protocol = "tcp"
		}
		if protocol != "tcp" && protocol != "udp" && protocol != "sctp" || p.HostPort > 65535 || p.ContainerPort == 0 || p.ContainerPort > 65535 {
			return nil, fail(types.ErrInvalidNetworkConfig, "portMappings: port %d of the node to %d by %q", p.HostPort, p.ContainerPort, p.Protocol)
		}
		out = append(out, &skeinpb.PortMapping{HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: protocol, HostIp: p.HostIP})
	}
	return out, nil
}
