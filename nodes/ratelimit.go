package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
)

// RateLimitIn drops what comes in by an interface beyond its rate, before
// anything is known of the packet: a flood costs as little as it can, and a pod
// sends no more than it may.
//
// In: as the device has handed it over.
// Out: the same.
var RateLimitIn = graph.Spec{
	Name: "rate-limit-in",
	Arcs: []graph.To{
		rateExceeded: {Reason: "receive rate limit exceeded", Node: graph.Drop},
		rateBehind:   {Reason: "worker of the receive rate limit is behind", Node: graph.Drop},
	},
	On:  DeviceInputArc,
	New: func() graph.Node { return newRateLimit(false) },
}

// RateLimitOut drops what is to go out by an interface beyond its rate.
//
// In: TxIf is set; the packet starts at its link header, if the interface has
// one.
// Out: the same.
var RateLimitOut = graph.Spec{
	Name: "rate-limit-out",
	Arcs: []graph.To{
		rateExceeded: {Reason: "transmit rate limit exceeded", Node: graph.Drop},
		rateBehind:   {Reason: "worker of the transmit rate limit is behind", Node: graph.Drop},
	},
	On:  InterfaceOutputArc,
	New: func() graph.Node { return newRateLimit(true) },
}

const (
	_ graph.Arc = iota
	rateExceeded
	rateBehind // the ring there is full
)

// maxBuckets is more than there are interfaces. Their memory is the kernel's
// until it is used.
const maxBuckets = 1 << 16

// A rateLimit holds the buckets of all interfaces in one direction, by index.
type rateLimit struct {
	out     bool
	buckets []bucket
}

func newRateLimit(out bool) *rateLimit {
	return &rateLimit{out: out, buckets: make([]bucket, maxBuckets)}
}

// A bucket is the time at which it will be full again, and the picoseconds
// beyond it.
type bucket struct{ full, rest int64 }

func (r *rateLimit) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	for i, b := range v.Bufs() {
		at, limit := b.RxIf, &ifaces[b.RxIf].RxLimit
		if r.out {
			at, limit = b.TxIf, &ifaces[b.TxIf].TxLimit
		}
		switch home := int(at) % w.Peers(); {
		case home != w.ID() && limit.Depth != 0:
			// A rate is one rate, so one worker counts for all of them.
			v.Arc[i] = graph.Handed
			if !w.Cross(home, graph.Again, b) {
				v.Arc[i] = rateBehind
			}
		case !r.buckets[at%maxBuckets].take(w.Now, limit, b):
			v.Arc[i] = rateExceeded
		default:
			v.Arc[i] = graph.NextFeature(b)
		}
	}
}

// take pays for a packet, and reports whether it may pass. A bucket that is not
// empty lets a packet pass that is larger than what is left, and owes the rest:
// so a superpacket passes a bucket that is smaller than it.
func (t *bucket) take(now int64, l *iface.Limit, b *buf.Buffer) bool {
	if l.Depth == 0 {
		return true
	}
	if t.full < now {
		t.full, t.rest = now, 0
	}
	if t.full-now >= l.Depth {
		return false
	}
	packets, bytes := onWire(b)
	cost := max(packets*l.PerPacket, bytes*l.PerByte) + t.rest
	t.full, t.rest = t.full+cost/1000, cost%1000
	return true
}

// maxHeaders is more than the headers of a segment have: a device may have told
// nonsense.
const maxHeaders = 255

// onWire returns as how many packets and bytes a packet counts: a superpacket
// as its segments, each with its own headers where they are known.
func onWire(b *buf.Buffer) (packets, bytes int64) {
	packets, bytes = 1, int64(b.Len())
	if b.GSOType == buf.GSONone || b.GSOSize == 0 {
		return packets, bytes
	}
	headers := min(max(0, int64(b.HdrEnd)-int64(b.Off())), maxHeaders)
	packets = max(1, (bytes-headers+int64(b.GSOSize)-1)/int64(b.GSOSize))
	return packets, bytes + (packets-1)*headers
}
