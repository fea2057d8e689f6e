package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// UDP is a flood of datagrams.
type UDP struct {
	From, To Place
	Addr     netip.AddrPort // of To, as To has it; a port of 0 is chosen
	By       netip.AddrPort // what From sends to, if that stands for Addr; zero: Addr
	Size     int            // bytes of payload
	Senders  int            // threads; 0: 1
	Flows    int            // source ports, of all senders together; 0: one for each
	Batch    int            // datagrams, or superpackets, for each sendmmsg(2); 0: 32
	Segment  int            // datagrams in a superpacket (UDP_SEGMENT, udp(7)); 0: none are made
	Rate     float64        // datagrams a second, of all senders together; 0: as many as go
	Count    uint64         // datagrams, of all senders together, and what fills the last superpacket; 0: bounded by Duration only
	Duration time.Duration  // 0: 1 s
}

// Flooded is what became of a flood.
type Flooded struct {
	Sent, Received uint64 // datagrams
	Refused        uint64 // datagrams that the sender's own kernel did not take
	Bytes          uint64 // of payload, received
	Elapsed        time.Duration
}

// Lost returns how many of those sent did not arrive, below 0 if more came.
func (f Flooded) Lost() int64 { return int64(f.Sent) - int64(f.Received) }

// PerSecond returns how many datagrams arrived in a second.
func (f Flooded) PerSecond() float64 { return float64(f.Received) / f.Elapsed.Seconds() }

// Gbps returns the rate in 10⁹ bits of received payload per second.
func (f Flooded) Gbps() float64 { return float64(f.Bytes) * 8 / float64(f.Elapsed.Nanoseconds()) }

// drain is how long nothing has to arrive for the flood to be over.
const drain = 50 * time.Millisecond

// limits of a flood: what fits one datagram of IPv4 (RFC 768), what the kernel
// takes as one superpacket (UDP_MAX_SEGMENTS, linux/udp.h) and as one sendmmsg
// (UIO_MAXIOV), and descriptors that a process may have by default.
const (
	maxPayload  = 65507
	maxSegments = 64
	maxBatch    = 1024
	maxFlows    = 512
)

func (u *UDP) check() error {
	u.Senders, u.Batch, u.Segment = max(u.Senders, 1), max(u.Batch, 0), max(u.Segment, 1)
	if u.Batch == 0 {
		u.Batch = 32
	}
	u.Flows = max(u.Flows, u.Senders)
	var err error
	if u.Duration, err = bounded(u.Duration); err != nil {
		return err
	}
	switch {
	case u.Size < 1 || u.Size*u.Segment > maxPayload:
		return fmt.Errorf("traffic: %d datagrams of %d bytes at a time: not between 1 and %d bytes", u.Segment, u.Size, maxPayload)
	case u.Segment > maxSegments || u.Batch > maxBatch:
		return fmt.Errorf("traffic: %d datagrams in one, %d at a time: more than %d or %d", u.Segment, u.Batch, maxSegments, maxBatch)
	case u.Senders > maxThreads || u.Flows > maxFlows:
		return fmt.Errorf("traffic: %d senders, %d flows: more than %d or %d", u.Senders, u.Flows, maxThreads, maxFlows)
	case u.Rate < 0:
		return fmt.Errorf("traffic: a rate of %v", u.Rate)
	}
	return nil
}

// Run sends and counts. It fails if nothing could be sent; what is lost on the
// way is no failure. The end of ctx ends it early.
func (u UDP) Run(ctx context.Context) (Flooded, error) {
	if err := u.check(); err != nil {
		return Flooded{}, err
	}
	in, err := u.sink()
	if err != nil {
		return Flooded{}, err
	}
	defer in.conn.Close()
	dst := seenAs(u.By, netip.AddrPortFrom(u.Addr.Addr(), in.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
	senders := make([]*sender, u.Senders)
	for i := range senders {
		s, err := u.sender(dst, i)
		if err != nil {
			return Flooded{}, err
		}
		defer s.close()
		senders[i] = s
	}
	ctx, cancel := context.WithTimeout(ctx, u.Duration)
	defer cancel()
	start := time.Now()
	var sending sync.WaitGroup
	for _, s := range senders {
		sending.Go(func() { s.run(ctx) })
	}
	done := make(chan struct{})
	go func() {
		sending.Wait()
		close(done)
	}()
	if err := in.run(done); err != nil {
		cancel()
		<-done
		return Flooded{}, err
	}
	f := Flooded{Received: in.count, Bytes: in.bytes, Elapsed: max(in.last.Sub(start), 1)}
	for _, s := range senders {
		f.Sent += s.sent
		f.Refused += s.refused
		err = errors.Join(err, s.err)
	}
	if f.Sent == 0 && err != nil {
		return f, fmt.Errorf("traffic: udp to %v: %w", dst, err)
	}
	return f, nil
}
