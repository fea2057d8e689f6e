package control

import (
	"net/netip"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
)

// redirect says where a service or a static mapping sends a new flow, and gives
// the key that destination, unless the packet goes on as it is in a tunnel to
// another node, which to is then. It returns why the packet ends there, "" if it
// goes on. A client's affinity is the worker's, and is not looked at.
func (j *judgement) redirect(x *Explanation, k *acl.Key) (to netip.Addr, ends string) {
	s := nodes.AskService(j.st, j.rx, k)
	j.masked = s.Asked
	switch {
	case s.Static:
		x.add("static mapping", "to %s", netip.AddrPortFrom(keyAddr(s.Dst), s.Port))
	case s.Front == nil:
		return to, ""
	case s.Backend == nil:
		x.add("service", "%s: %s", s.Front.Service.Name, s.Drop)
		return to, s.Drop
	default:
		x.add("service", "%s sends it to %s, one of %d backends", s.Front.Service.Name,
			netip.AddrPortFrom(keyAddr(s.Backend.Addr), s.Backend.Port), len(s.Front.Service.All))
		if s.Front.Service.Affinity != 0 {
			name, _, _ := strings.Cut(s.Front.Service.Name, ":")
			x.add("affinity", "a client that has a backend keeps it: see show service %s", name)
		}
	}
	if s.Tunnel != (hdr.Addr6{}) {
		to = keyAddr(s.Tunnel)
		x.add("direct return", "in a tunnel to node %s, as it is: that node chooses one of its own backends, and answers the client", to)
		return to, ""
	}
	k.Dst, k.DstPort = s.Dst, s.Port
	return to, ""
}

// leave says whether a new flow leaves with an address of the node.
func (j *judgement) leave(x *Explanation, k *acl.Key) {
	src, port, why := nodes.AskSource(j.st, j.rx, &j.adj, k, j.masked)
	switch {
	case why == 0:
		x.add("source", "becomes %s by a static mapping", netip.AddrPortFrom(keyAddr(src), port))
	case why.Masquerade():
		x.add("source", "becomes an address of the node: %v", why)
	}
}
