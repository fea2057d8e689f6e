package control

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// A PingRequest asks for ICMP echo requests out of the data plane.
type PingRequest struct {
	To       netip.Addr    // a link-local one with the uplink as zone: fe80::1%eth0
	From     netip.Addr    // the zero Addr: the node's own
	Count    int           // at least 1
	Size     int           // bytes of payload
	Interval time.Duration // between requests
	Wait     time.Duration // for each answer

	link uint32 // the interface that To is on; 0: routes say
}

// A PingResult is what became of one of them.
type PingResult struct {
	Seq   int // from 1 on
	From  netip.Addr
	Bytes int // of the ICMP message
	TTL   int
	RTT   time.Duration
	Err   error // ErrNoReply, or why it was not sent
}

// ErrNoReply means that no answer came in time.
var ErrNoReply = fmt.Errorf("no reply")

// maxPingSize is the payload that still fits a small buffer's frame.
const maxPingSize = buf.SmallStride - buf.Headroom - hdr.IPv6Len - hdr.ICMPLen

// pings are the echo requests that wait for an answer. Control.mu guards it.
type pings struct {
	id      uint16 // of all requests while there are any; 0: there are none
	last    uint16 // sequence number given out
	waiting map[uint16]chan state.Notice
	running int
}

// reply hands an answer to whoever waits for it.
func (p *pings) reply(n state.Notice) {
	if ch := p.waiting[uint16(n.Echo)]; ch != nil && uint16(n.Echo>>16) == p.id {
		select {
		case ch <- n:
		default: // a second answer to one request
		}
	}
}

// Ping sends echo requests, one after the other, and tells each what became of
// them until it returns an error.
func (c *Control) Ping(ctx context.Context, r PingRequest, each func(PingResult) error) error {
	if err := r.check(); err != nil {
		return err
	}
	var err error
	if r.link, err = c.linkOf(r.To); err != nil {
		return err
	}
	if err := c.beginPing(); err != nil {
		return err
	}
	defer c.endPing()
	for seq := 1; seq <= r.Count; seq++ {
		began := time.Now()
		res := c.pingOnce(ctx, r)
		res.Seq = seq
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := each(res); err != nil {
			return err
		}
		if seq == r.Count {
			break
		}
		select {
		case <-time.After(r.Interval - time.Since(began)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (r *PingRequest) check() error {
	switch {
	case !r.To.IsValid() || r.To.Is4In6() || r.To.IsMulticast() || r.To.IsUnspecified():
		return fmt.Errorf("control: %w: %s is no address of a host", ErrInvalid, r.To)
	case linkLocal(r.To) != (r.To.Zone() != ""):
		return fmt.Errorf("control: %w: %s: a link-local address and an uplink as its zone go together: fe80::1%%eth0", ErrInvalid, r.To)
	case r.From.Zone() != "" || linkLocal(r.From):
		return fmt.Errorf("control: %w: a source that is link-local follows from the uplink", ErrInvalid)
	case r.From.IsValid() && r.From.Is4() != r.To.Is4():
		return fmt.Errorf("control: %w: %s and %s are of two families", ErrInvalid, r.From, r.To)
	case r.Size < 0 || r.Size > maxPingSize:
		return fmt.Errorf("control: %w: a size from 0 to %d bytes was expected", ErrInvalid, maxPingSize)
	case r.Count < 1:
		return fmt.Errorf("control: %w: a count of at least 1 was expected", ErrInvalid)
	}
	return nil
}

// linkLocal reports whether a is in fe80::/10. IPv4 has none that would need a
// zone.
func linkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// linkOf returns the uplink that is the zone of an address (RFC 4007, section
// 11), by Skein's name for it or the host's, and 0 for an address without one.
func (c *Control) linkOf(a netip.Addr) (uint32, error) {
	if a.Zone() == "" {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.ports {
		if p != nil && p.Kind == iface.Uplink && (p.Name == a.Zone() || p.Name == uplinkPrefix+a.Zone()) {
			return p.index, nil
		}
	}
	return 0, fmt.Errorf("control: uplink %s: %w", a.Zone(), ErrNotFound)
}

func (c *Control) beginPing() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pings.running++; c.pings.running > 1 {
		return nil
	}
	c.pings.id = uint16(1 + rand.IntN(1<<16-1))
	c.pings.waiting = map[uint16]chan state.Notice{}
	return c.publish()
}

func (c *Control) endPing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pings.running--; c.pings.running > 0 {
		return
	}
	c.pings.id = 0
	// It fails only if the edit does, and this one cannot.
	_ = c.publish()
}

func (c *Control) pingOnce(ctx context.Context, r PingRequest) (res PingResult) {
	answer := make(chan state.Notice, 1)
	c.mu.Lock()
	c.pings.last++
	seq, id := c.pings.last, c.pings.id
	c.pings.waiting[seq] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pings.waiting, seq)
		c.mu.Unlock()
	}()
	var sent int64
	w := c.first()
	res.Err = c.do(ctx, w, func() (err error) {
		sent, err = c.sendEcho(w, r, id, seq)
		return err
	})
	if res.Err != nil {
		return res
	}
	wait := time.NewTimer(r.Wait)
	defer wait.Stop()
	select {
	case n := <-answer:
		return PingResult{From: n.Addr(), Bytes: int(n.Len), TTL: int(n.TTL), RTT: time.Duration(n.Now - sent)}
	case <-wait.C:
		res.Err = ErrNoReply
	case <-ctx.Done():
		res.Err = ctx.Err()
	}
	return res
}
