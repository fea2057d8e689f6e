package control

import (
	"net/netip"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nat"
)

// redirect says where a service or a static mapping sends a new flow, and gives
// the key that destination. It returns why the packet ends there, "" if it goes
// on. A client's affinity is the worker's, and is not looked at.
func (j *judgement) redirect(x *Explanation, k *acl.Key) (ends string) {
	n := j.st.NAT
	if n == nil {
		return ""
	}
	f := n.Services.Find(&nat.FrontKey{Addr: k.Dst, Port: k.DstPort, Proto: k.Proto})
	if f == nil {
		if to, port, ok := n.Statics.In(k.Dst, k.Proto, k.DstPort); ok {
			k.Dst, k.DstPort, j.masked = to, port, to == k.Src
			x.add("static mapping", "to %s", netip.AddrPortFrom(keyAddr(to), port))
		}
		return ""
	}
	kind := j.st.Ifaces[j.rx].Kind
	client := nat.Client{Addr: k.Src, Hash: nat.FlowHash(k.Src, k.Dst, k.SrcPort, k.DstPort, k.Proto), Inside: kind == iface.Tun || kind == iface.Tap}
	b, outcome := f.Choose(&client, nil, 0)
	if b == nil {
		x.add("service", "%s: %v", f.Service.Name, outcome)
		return outcome.String()
	}
	x.add("service", "%s sends it to %s, one of %d backends", f.Service.Name, netip.AddrPortFrom(keyAddr(b.Addr), b.Port), len(f.Service.All))
	if f.Service.Affinity != 0 {
		name, _, _ := strings.Cut(f.Service.Name, ":")
		x.add("affinity", "a client that has a backend keeps it: see show service %s", name)
	}
	k.Dst, k.DstPort, j.masked = b.Addr, b.Port, f.Masquerades(b, k.Src)
	return ""
}

// leave says whether a new flow leaves with an address of the node.
func (j *judgement) leave(x *Explanation, k *acl.Key) {
	n := j.st.NAT
	if n == nil {
		return
	}
	toHost := j.adj.Kind == fib.Local || j.adj.Kind == fib.Punt
	if src, port, ok := n.Statics.Out(k.Src, k.Proto, k.SrcPort); ok && j.st.Ifaces[j.adj.Iface].Kind == iface.Uplink && !toHost {
		x.add("source", "becomes %s by a static mapping", netip.AddrPortFrom(keyAddr(src), port))
		return
	}
	why := n.Outgoing.Decide(&nat.Leaving{Src: k.Src, Dst: k.Dst, Asked: j.masked, FromPod: j.st.Ifaces[j.rx].Kind == iface.Tun, ToHost: toHost})
	if why.Masquerade() {
		x.add("source", "becomes an address of the node: %v", why)
	}
}
