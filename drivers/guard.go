package drivers

import "net/netip"

// MaxDeny is how many prefixes a Guard may deny. Each takes the kernel some
// 100 bytes for each interface.
const MaxDeny = 65536

// A Guard is what a device is to drop before anybody has looked at it. The
// zero Guard lets everything pass.
type Guard struct {
	// Deny are the sources of which nothing is wanted: up to MaxDeny prefixes of
	// both families, without bits beyond their length. Link-local addresses of
	// IPv6 pass whatever they say, for neighbour discovery.
	Deny []netip.Prefix
	// PerPacket and Depth are a token bucket for what comes in, as iface.Limit
	// has it: what a packet costs in picoseconds, and what the bucket holds in
	// nanoseconds. A Depth of 0 is no limit.
	PerPacket, Depth int64
}

// A Guarded device keeps a Guard itself, where a packet has cost next to
// nothing. What it drops is in its queues' Stats.
type Guarded interface {
	Device
	// SetGuard replaces the Guard while packets pass. Prefixes that both have
	// are denied all the while. After an error the former Guard holds, unless the
	// error says otherwise.
	SetGuard(Guard) error
}
