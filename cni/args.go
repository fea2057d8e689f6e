package cni

import (
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/skein-dataplane/skein/api/skeinpb"
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
			return nil, fail(types.ErrUnsupportedField, "CNI_ARGS: MAC=%s: a TUN has no link address", value)
		}
	}
	if w.Name == "" {
		return nil, nil
	}
	return w, nil
}

// The annotations that Kubernetes has for bandwidth.
const (
	ingressAnnotation = "kubernetes.io/ingress-bandwidth"
	egressAnnotation  = "kubernetes.io/egress-bandwidth"
)

// bandwidth returns what may pass: what the runtime says, else the pod's
// annotations, else the configuration.
func (c *Conf) bandwidth() (*skeinpb.Bandwidth, error) {
	b := c.Bandwidth
	for key, rate := range map[string]*uint64{ingressAnnotation: &b.IngressRate, egressAnnotation: &b.EgressRate} {
		if text := c.Runtime.Annotations[key]; text != "" {
			n, err := quantity(text)
			if err != nil {
				return nil, fail(types.ErrInvalidNetworkConfig, "annotation %s: %v", key, err)
			}
			*rate = n
		}
	}
	if c.Runtime.Bandwidth != nil {
		b = *c.Runtime.Bandwidth
	}
	if b == (Bandwidth{}) {
		return nil, nil
	}
	return &skeinpb.Bandwidth{IngressRate: b.IngressRate, IngressBurst: b.IngressBurst, EgressRate: b.EgressRate, EgressBurst: b.EgressBurst}, nil
}

// units are the suffixes of Kubernetes' quantities, as far as a rate has them.
var units = []struct {
	suffix string
	factor uint64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// maxRate is Kubernetes' bound of a bandwidth, in bits per second.
const maxRate = 1e15

// quantity reads a rate such as 10M, in bits per second.
func quantity(text string) (uint64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		var n uint64
		for _, d := range []byte(digits) {
			if d < '0' || d > '9' || n > maxRate {
				return 0, fmt.Errorf("%q is not a rate such as 10M", text)
			}
			n = n*10 + uint64(d-'0')
		}
		if digits == "" || n > maxRate/u.factor || n*u.factor < 1000 {
			return 0, fmt.Errorf("%q is not a rate from 1k to 1000T", text)
		}
		return n * u.factor, nil
	}
	return 0, fmt.Errorf("%q is not a rate such as 10M", text)
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
