package control

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// A PingRequest asks for ICMP echo requests out of the data plane.
type PingRequest struct {
	To       netip.Addr
	From     netip.Addr    // the zero Addr: the node's own
	Count    int           // at least 1
	Size     int           // bytes of payload
	Interval time.Duration // between requests
	Wait     time.Duration // for each answer
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
const maxPingSize = buf.SmallStride - buf.Headroom - hdr.IPv4Len - hdr.ICMPLen

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
	case !r.To.Is4() || r.From.IsValid() && !r.From.Is4():
		return fmt.Errorf("control: %w: only IPv4 is supported yet", ErrInvalid)
	case r.Size < 0 || r.Size > maxPingSize:
		return fmt.Errorf("control: %w: a size from 0 to %d bytes was expected", ErrInvalid, maxPingSize)
	case r.Count < 1:
		return fmt.Errorf("control: %w: a count of at least 1 was expected", ErrInvalid)
	}
	return nil
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
	res.Err = c.do(ctx, func() (err error) {
		sent, err = c.sendEcho(r, id, seq)
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

// sendEcho puts an echo request into the graph and returns when, by the
// worker's clock. The worker runs it.
func (c *Control) sendEcho(r PingRequest, id, seq uint16) (int64, error) {
	st := c.pub.Load()
	to := hdr.Addr4From(r.To)
	adj := st.FIB4.Adj(st.FIB4.Lookup(to, 0))
	if adj.Kind == fib.NoRoute {
		return 0, fmt.Errorf("control: no route to %s", r.To)
	}
	from := st.Source4(adj.Iface)
	if r.From.IsValid() {
		from = hdr.Addr4From(r.From)
	}
	if from == 0 {
		return 0, fmt.Errorf("control: %w: there is no own address to ping from; name one", ErrInvalid)
	}
	var one [1]*buf.Buffer
	if c.pool.Get(one[:]) == 0 {
		return 0, fmt.Errorf("control: %w: no packet buffers are free", ErrBusy)
	}
	fillEcho(one[0], from, to, uint32(id)<<16|uint32(seq), r.Size)
	c.worker.Inject("ip4-lookup", one[0])
	return c.worker.Now, nil
}

// fillEcho makes b an echo request (RFC 792).
func fillEcho(b *buf.Buffer, from, to hdr.Addr4, rest uint32, size int) {
	total := hdr.IPv4Len + hdr.ICMPLen + size
	b.SetLen(total)
	p := b.Bytes()
	for i := range p[hdr.IPv4Len+hdr.ICMPLen:] {
		p[hdr.IPv4Len+hdr.ICMPLen+i] = byte(i)
	}
	b.L3, b.L4 = uint16(b.Off()), uint16(b.Off()+hdr.IPv4Len)
	b.Flags |= buf.Originated
	h := b.IPv4()
	*h = hdr.IPv4{0: 0x45, 8: 64, 9: hdr.ProtoICMP}
	h.SetLen(total)
	h.SetSrc(from)
	h.SetDst(to)
	h.SetChecksum(hdr.Checksum(h[:]))
	m := p[hdr.IPv4Len:]
	m[0], m[1], m[2], m[3] = hdr.ICMPEcho, 0, 0, 0
	binary.BigEndian.PutUint32(m[4:], rest)
	binary.BigEndian.PutUint16(m[2:], hdr.Checksum(m))
}
