package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nat"
)

// answersLeave reports whether answers to a flow, from src to a pod, would leave
// with another source than it was sent to if they were taken for flows of their
// own: then it has to be remembered.
func answersLeave(w *graph.Worker, b *buf.Buffer, adj *fib.Adj, src, dst hdr.Addr6, proto uint8, dport uint16) bool {
	if w.State.NAT == nil || w.State.Ifaces[adj.Iface].Kind != iface.Tun {
		return false
	}
	from := w.State.Ifaces[b.RxIf].Kind
	if from == iface.Uplink {
		if _, _, mapped := w.State.NAT.Statics.Out(dst, proto, dport); mapped {
			return true
		}
	}
	l := nat.Leaving{Src: dst, Dst: src, FromPod: true, ToHost: from == iface.Tap}
	return w.State.NAT.Outgoing.Decide(&l).Masquerade()
}
