package lab

import (
	"context"
	"errors"
	"time"
)

// The addresses of the reference topology.
const (
	Uplink       = "enp0s3" // the nodes' uplink
	NodeAddr     = "10.0.0.21"
	SecondAddr   = "10.0.0.22"
	GatewayAddr  = "10.0.0.254"
	RemoteAddr   = "198.51.100.10" // RFC 5737, section 3
	NodeAddr6    = "2001:db8::21"  // RFC 3849
	SecondAddr6  = "2001:db8::22"
	GatewayAddr6 = "2001:db8::254"
	RemoteAddr6  = "2001:db8:100::10"

	PodBlock       = "10.244.0.0/24" // of the pool 10.244.0.0/16, at the node
	SecondPodBlock = "10.244.1.0/24" // of the same, at the second node
	PodBlock6      = "2001:db8:244::/64"
	PodAddr        = "10.244.0.2"
	OtherPodAddr   = "10.244.0.3"
	PodAddr6       = "2001:db8:244::2"
	OtherPodAddr6  = "2001:db8:244::3"
)

// A Reference is the reference topology in small: a node on a LAN with a
// router, and behind the router a remote host.
//
//	pod-a ┐
//	      ├ node ─enp0s3── 10.0.0.0/24 ──lan─ router ─wan── 198.51.100.0/24 ── remote
//	pod-b ┘                     │
//	                         second
//
// The pods' namespaces are empty. IPv6 runs beside: 2001:db8::/64 on the LAN,
// 2001:db8:100::/64 behind the router.
type Reference struct {
	*Lab
	Node, Router, Remote, PodA, PodB *Namespace

	Second *Namespace // nil unless asked for
}

// Wanted says what of the reference topology is wanted beyond the node.
type Wanted struct {
	Second       bool // the second node, 10.0.0.22
	StaticRoutes bool // the router knows the nodes' pod blocks, without BGP
	MTU          int  // of the LAN in bytes; 0: 1500
	Queues       int  // of the node's uplink and the router's end of it; 0: as many as the kernel gives
}

// Reference builds the reference topology in an empty lab. If it fails, the
// lab holds what was built; Close removes it.
func (l *Lab) Reference(w Wanted) (*Reference, error) {
	r := &Reference{Lab: l}
	b := builder{lab: l}
	r.Node, r.Router, r.Remote = b.ns("node"), b.ns("router"), b.ns("remote")
	r.PodA, r.PodB = b.ns("pod-a"), b.ns("pod-b")
	b.join(End{NS: r.Node, Link: Uplink, MTU: w.MTU, Queues: w.Queues, Addrs: []string{NodeAddr + "/24", NodeAddr6 + "/64"}},
		End{NS: r.Router, Link: "port1", MTU: w.MTU, Queues: w.Queues})
	ports := []string{"port1"}
	nodes := []*Namespace{r.Node}
	if w.Second {
		r.Second = b.ns("second")
		b.join(End{NS: r.Second, Link: Uplink, MTU: w.MTU, Addrs: []string{SecondAddr + "/24", SecondAddr6 + "/64"}},
			End{NS: r.Router, Link: "port2", MTU: w.MTU})
		ports, nodes = append(ports, "port2"), append(nodes, r.Second)
	}
	b.do(func() error { return r.Router.Bridge("lan", ports...) })
	b.do(func() error { return r.Router.Addr("lan", GatewayAddr+"/24", GatewayAddr6+"/64") })
	b.join(End{NS: r.Router, Link: "wan", Addrs: []string{"198.51.100.254/24", "2001:db8:100::254/64"}},
		End{NS: r.Remote, Link: "eth0", Addrs: []string{RemoteAddr + "/24", RemoteAddr6 + "/64"}})
	b.forward(r.Router)
	for _, n := range nodes {
		b.defaults(n, GatewayAddr, GatewayAddr6)
	}
	b.defaults(r.Remote, "198.51.100.254", "2001:db8:100::254")
	if w.StaticRoutes {
		b.do(func() error { return r.Router.Route(PodBlock, NodeAddr, "") })
		b.do(func() error { return r.Router.Route(PodBlock6, NodeAddr6, "") })
		if w.Second {
			b.do(func() error { return r.Router.Route(SecondPodBlock, SecondAddr, "") })
		}
	}
	b.await()
	return r, b.err
}

// A KernelPair is two pods joined by the kernel's own forwarding over veth
// pairs, as Calico's Linux data plane sets it up: what Skein is compared with.
type KernelPair struct {
	*Lab
	PodA, Node, PodB *Namespace
}

// KernelPair builds two pods with PodAddr and OtherPodAddr, and a node between
// them, in an empty lab.
func (l *Lab) KernelPair() (*KernelPair, error) {
	b := builder{lab: l}
	k := &KernelPair{Lab: l, PodA: b.ns("plain-a"), Node: b.ns("plain-node"), PodB: b.ns("plain-b")}
	b.forward(k.Node)
	b.pod(k.Node, "cali-a", k.PodA, PodAddr, PodAddr6)
	b.pod(k.Node, "cali-b", k.PodB, OtherPodAddr, OtherPodAddr6)
	b.await()
	return k, b.err
}

// A builder does steps until one fails.
type builder struct {
	lab *Lab
	err error
}

func (b *builder) do(step func() error) {
	if b.err == nil {
		b.err = step()
	}
}

func (b *builder) ns(name string) *Namespace {
	var n *Namespace
	b.do(func() (err error) { n, err = b.lab.Namespace(name); return err })
	return n
}

// settle is how long the kernel gets to make new addresses work.
const settle = 5 * time.Second

func (b *builder) await() {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for _, n := range b.lab.Namespaces() {
		b.do(func() error { return n.AwaitAddrs(ctx) })
	}
}

func (b *builder) join(x, y End) { b.do(func() error { return Join(x, y) }) }

func (b *builder) forward(n *Namespace) {
	b.do(func() error {
		return errors.Join(n.Sysctl("net.ipv4.ip_forward", "1"), n.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	})
}

func (b *builder) defaults(n *Namespace, gw4, gw6 string) {
	b.do(func() error { return errors.Join(n.Route("default", gw4, ""), n.Route("default", gw6, "")) })
}

// pod joins a pod to a node: a /32 and a /128 address, and default routes to a
// link-local gateway, which Calico's node answers for by proxy ARP, and this
// one has: proxy ARP needs a route to the gateway.
func (b *builder) pod(node *Namespace, host string, pod *Namespace, addr4, addr6 string) {
	const gateway4, gateway6 = "169.254.1.1", "fe80::1"
	b.join(End{NS: node, Link: host, Addrs: []string{gateway4 + "/32", gateway6 + "/64"}},
		End{NS: pod, Link: "eth0", Addrs: []string{addr4 + "/32", addr6 + "/128"}})
	b.do(func() error { return node.Route(addr4+"/32", "", host) })
	b.do(func() error { return node.Route(addr6+"/128", "", host) })
	b.do(func() error { return pod.Route("default", gateway4, "eth0") })
	b.do(func() error { return pod.Route("default", gateway6, "eth0") })
}
