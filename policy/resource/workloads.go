package resource

import (
	"net/netip"
	"slices"
)

// serviceLabel names the service of an EndpointSlice (discovery.k8s.io/v1).
const serviceLabel = "kubernetes.io/service-name"

func readSlice(d *decoder, r *Resource) {
	var in endpointSlice
	d.Root().Into(&in)
	s := &EndpointSlice{Service: Service{r.Namespace, r.Labels[serviceLabel]}}
	if s.Service.Name == "" {
		d.alarm("metadata.labels", "without a label %s: it belongs to no service", serviceLabel)
	}
	r.Spec = s
	if in.AddressType == "FQDN" {
		d.alarm("addressType", "not supported: names are not resolved")
		return
	}
	for i, e := range in.Endpoints {
		for j, text := range e.Addresses {
			s.Addrs = append(s.Addrs, d.addr(indexed(indexed("endpoints", i)+".addresses", j), text))
		}
	}
	for i, p := range in.Ports {
		where := indexed("ports", i)
		s.Ports = append(s.Ports, Port{p.Name, d.kubeProtocol(where+".protocol", p.Protocol), d.port(where+".port", p.Port)})
	}
}

// readPod reads what policy needs of a pod. One that is done, or that uses the
// node's addresses, has none of its own.
func readPod(d *decoder, r *Resource) {
	var in podObject
	d.Root().Into(&in)
	p := &Pod{ServiceAccount: in.Spec.ServiceAccountName}
	r.Spec = p
	for _, c := range in.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == "" {
				continue
			}
			proto := d.kubeProtocol("spec.containers", port.Protocol)
			p.Ports = append(p.Ports, Port{port.Name, proto, d.port("spec.containers", port.ContainerPort)})
		}
	}
	if in.Spec.HostNetwork || in.Status.Phase == "Succeeded" || in.Status.Phase == "Failed" {
		return
	}
	add := func(field, text string) {
		if a := d.addr(field, text); a.IsValid() && !slices.Contains(p.Addrs, a) {
			p.Addrs = append(p.Addrs, a)
		}
	}
	if in.Status.PodIP != "" {
		add("status.podIP", in.Status.PodIP)
	}
	for i, ip := range in.Status.PodIPs {
		add(indexed("status.podIPs", i), ip.IP)
	}
}

// Prefixes returns addresses as prefixes of one address each.
func Prefixes(addrs []netip.Addr) (out []netip.Prefix) {
	for _, a := range addrs {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

// HasPorts reports whether named ports can be of this protocol.
func HasPorts(proto uint8) bool { return slices.Contains(withPorts, proto) }
