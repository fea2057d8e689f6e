package nodes

import (
	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/state"
)

// A Sending is where ip4-service or ip6-service sends a packet that opens a flow.
type Sending struct {
	Front   *nat.Front   // of the service; nil: it is for none
	Backend *nat.Backend // that it has chosen; nil: none
	Static  bool         // the destination is mapped for good
	Dst     hdr.Addr6    // IPv4 is mapped; as it was if neither
	Port    uint16
	Tunnel  hdr.Addr6 // the node that gets the packet as it is; :: if it is not tunnelled
	Asked   bool      // the flow needs a source of the node
	Drop    string    // why the packet is dropped, as counters name it; "" if it goes on
}

// AskService has the code of ip4-service or ip6-service say where a packet goes
// that an interface receives. It is for people who want to know: it counts
// nothing, and does not know which clients stay with a backend.
func AskService(st *state.State, rx uint32, k *acl.Key) (s Sending) {
	s.Dst, s.Port = k.Dst, k.DstPort
	if st.NAT == nil || int(rx) >= len(st.Ifaces) {
		return s
	}
	if s.Front = st.NAT.Services.Find(&nat.FrontKey{Addr: k.Dst, Port: k.DstPort, Proto: k.Proto}); s.Front == nil {
		if a, port, ok := st.NAT.Statics.In(k.Dst, k.Proto, k.DstPort); ok {
			s.Static, s.Dst, s.Port, s.Asked = true, a, port, a == k.Src
		}
		return s
	}
	c := nat.Client{Addr: k.Src, Hash: nat.FlowHash(k.Src, k.Dst, k.SrcPort, k.DstPort, k.Proto)}
	backend, arc := choose(&graph.Worker{State: st}, &buf.Buffer{RxIf: rx}, s.Front, &c, nil)
	switch s.Backend = backend; {
	case backend == nil:
		s.Drop = serviceArcs(family(k), "")[arc].Reason
	case s.Front.Direct(backend, &c):
		s.Tunnel = backend.Node
	default:
		s.Dst, s.Port, s.Asked = backend.Addr, backend.Port, s.Front.Masquerades(backend, k.Src)
	}
	return s
}

// AskSource has the code of ip4-masquerade or ip6-masquerade say which source a
// packet leaves with that AskService has sent on and that adj is the way of. why
// is 0 for one that is mapped for good. Where why says that it is the node's, it
// is not in src: ip4-open and ip6-open find a port for it.
func AskSource(st *state.State, rx uint32, adj *fib.Adj, k *acl.Key, asked bool) (src hdr.Addr6, port uint16, why nat.Why) {
	if st.NAT == nil || int(rx) >= len(st.Ifaces) || int(adj.Iface) >= len(st.Ifaces) {
		return k.Src, k.SrcPort, nat.NotFromPod
	}
	flags := uint16(0)
	if asked {
		flags = flagAsked
	}
	l := goingOut(&graph.Worker{State: st}, &buf.Buffer{RxIf: rx}, adj, k.Src, k.Dst, flags)
	return newSource(st, adj, &l, k.Proto, k.SrcPort)
}
