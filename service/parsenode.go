package service

import (
	"net/netip"
	"time"
)

// readNode reads a Node, of which its name and its addresses matter: where its
// backends answer clients themselves, packets are sent there in a tunnel.
func readNode(v value) *Node {
	n := &Node{Place: v.Place()}
	var namespace string
	var created time.Time
	var external []netip.Addr
	v.Mapping(fields{
		"apiVersion": skip, "kind": skip, "spec": skip,
		"metadata": func(v value) { readMeta(v, &namespace, &n.Name, &created, nothing, nothing) },
		"status": func(v value) {
			v.Mapping(fields{
				"addresses":   func(v value) { v.List(func(v value) { n.address(v, &external) }) },
				"allocatable": skip, "capacity": skip, "conditions": skip, "config": skip, "daemonEndpoints": skip,
				"declaredFeatures": skip, "features": skip, "images": skip, "nodeInfo": skip, "phase": skip,
				"runtimeHandlers": skip, "volumesAttached": skip, "volumesInUse": skip,
			})
		},
	})
	n.Addrs = append(n.Addrs, external...)
	if n.Name == "" {
		v.Fail("expected metadata with a name")
	}
	return n
}

// address reads one of a node's addresses. Names of it are nobody's business.
func (n *Node) address(v value, external *[]netip.Addr) {
	switch kind := v.Peek("type").Raw(); kind {
	case "InternalIP":
		v.Mapping(fields{"type": skip, "address": func(v value) { n.Addrs = append(n.Addrs, v.Addr()) }})
	case "ExternalIP":
		v.Mapping(fields{"type": skip, "address": func(v value) { *external = append(*external, v.Addr()) }})
	case "Hostname", "InternalDNS", "ExternalDNS":
	default:
		v.Fail("expected InternalIP, ExternalIP, Hostname, InternalDNS or ExternalDNS, found %q", kind)
	}
}
