package nodes

import "github.com/skein-dataplane/skein/graph"

// A rate is how many errors may be sent: burst at once, and one more each
// every nanoseconds.
type rate struct{ every, burst int64 }

var (
	// perNode is Linux's icmp_msgs_per_sec and icmp_msgs_burst. Workers share it.
	perNode = rate{every: 1e9 / 1000, burst: 50}
	// perSender leaves room for a traceroute that probes all hops at once.
	perSender = rate{every: 1e9 / 20, burst: 20}
)

// A limiter is a token bucket, as the time at which it will be full again.
type limiter struct{ full int64 }

// allow takes a token if there is one.
func (l *limiter) allow(now int64, r rate) bool {
	full := max(l.full, now) + r.every
	if full > now+r.every*r.burst {
		return false
	}
	l.full = full
	return true
}

// errorLimits bound the ICMP errors of one family at one worker (RFC 1812,
// section 4.3.2.8; RFC 4443, section 2.4 (f)).
type errorLimits struct {
	all limiter
	to  [256]limiter // by hash of who is told
}

// allow reports whether an error may be sent now to whoever has the hash.
func (l *errorLimits) allow(w *graph.Worker, to uint32) bool {
	n := int64(w.Peers())
	share := rate{every: perNode.every * n, burst: max(1, perNode.burst/n)}
	return l.to[to*0x9e3779b1>>24].allow(w.Now, perSender) && l.all.allow(w.Now, share)
}
