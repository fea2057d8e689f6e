package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Ping says what to ask a host.
type Ping struct {
	Count    int           // echo requests; 0: 1
	Size     int           // bytes of payload; below 8: 8, for the marker that tells answers apart
	DF       bool          // do not fragment, and do not believe the path MTU cache
	TTL      int           // TTL or hop limit; 0: the kernel's
	Interval time.Duration // between a reply and the next request
	Timeout  time.Duration // for each reply; 0: 1 s
}

// A Reply is what came back for one echo request.
type Reply struct {
	From netip.Addr    // who answered; the zero Addr if nobody
	RTT  time.Duration // round-trip time
	TTL  int           // of the reply, where the kernel says
	What string        // "echo reply", "time exceeded", "destination unreachable", "packet too big", "timeout", or the error of sending
	Code int           // of the ICMP message
	MTU  int           // of the next hop, in a "packet too big" or its IPv4 twin
}

// OK reports whether the host itself answered.
func (r Reply) OK() bool { return r.What == "echo reply" }

// Ping sends echo requests from the namespace to a host, one after the other,
// and returns an entry for each. An error is one of setting up, or ctx's.
func (n *Namespace) Ping(ctx context.Context, host netip.Addr, p Ping) ([]Reply, error) {
	s, err := n.newProber(host)
	if err != nil {
		return nil, err
	}
	defer s.conn.Close()
	var replies []Reply
	for i := range max(p.Count, 1) {
		if i > 0 && p.Interval > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(p.Interval):
			}
		}
		if err := ctx.Err(); err != nil {
			return replies, err
		}
		r, err := s.probe(ctx, i+1, p)
		if err != nil {
			return replies, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

// Reaches reports whether all echo requests are answered by the host itself.
// The error names the first that is not.
func (n *Namespace) Reaches(ctx context.Context, host string, p Ping) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("lab: ping: %w", err)
	}
	replies, err := n.Ping(ctx, addr, p)
	if err != nil {
		return err
	}
	for i, r := range replies {
		if !r.OK() {
			return fmt.Errorf("lab: ping %s from %s: request %d of %d: %s (from %v, code %d, mtu %d)", host, n, i+1, len(replies), r.What, r.From, r.Code, r.MTU)
		}
	}
	return nil
}

// Trace returns who answers echo requests of growing TTL on the way to a host,
// and ends with the host's own reply or after maxHops.
func (n *Namespace) Trace(ctx context.Context, host netip.Addr, maxHops int, timeout time.Duration) ([]Reply, error) {
	s, err := n.newProber(host)
	if err != nil {
		return nil, err
	}
	defer s.conn.Close()
	var hops []Reply
	for ttl := 1; ttl <= maxHops; ttl++ {
		r, err := s.probe(ctx, ttl, Ping{TTL: ttl, Timeout: timeout})
		if err != nil {
			return hops, err
		}
		hops = append(hops, r)
		if r.OK() {
			break
		}
	}
	return hops, nil
}

// A prober is a raw ICMP socket to one host.
type prober struct {
	conn  *net.IPConn
	v4    *ipv4.PacketConn // conn's options, one of the two
	v6    *ipv6.PacketConn
	host  netip.Addr
	id    int
	proto int // ICMP's number of IANA, as icmp.ParseMessage wants it
	buf   []byte
}

func (n *Namespace) newProber(host netip.Addr) (*prober, error) {
	s := &prober{host: host, id: rand.IntN(1 << 16), proto: 1, buf: make([]byte, 1<<16)}
	network := "ip4:icmp"
	if host.Is6() {
		s.proto, network = 58, "ip6:ipv6-icmp"
	}
	err := n.Do(func() (err error) {
		s.conn, err = net.ListenIP(network, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: icmp socket in %s: %w", n, err)
	}
	if host.Is6() {
		s.v6 = ipv6.NewPacketConn(s.conn)
		err = s.v6.SetControlMessage(ipv6.FlagHopLimit, true)
	} else {
		s.v4 = ipv4.NewPacketConn(s.conn)
		err = s.v4.SetControlMessage(ipv4.FlagTTL, true)
	}
	if err != nil {
		_ = s.conn.Close()
		return nil, fmt.Errorf("lab: icmp socket in %s: %w", n, err)
	}
	return s, nil
}

// probe sends one request and waits for what comes back for it.
func (s *prober) probe(ctx context.Context, seq int, p Ping) (Reply, error) {
	if err := s.configure(p); err != nil {
		return Reply{}, fmt.Errorf("lab: ping %v: %w", s.host, err)
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = time.Second
	}
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return Reply{}, fmt.Errorf("lab: ping %v: %w", s.host, err)
	}
	defer context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })()
	marker := rand.Uint64()
	start := time.Now()
	if _, err := s.conn.WriteTo(s.request(seq, marker, max(p.Size, 8)), &net.IPAddr{IP: s.host.AsSlice()}); err != nil {
		// The packet was refused on its way out: too big, or no route.
		return Reply{What: err.Error()}, nil
	}
	r, err := s.await(seq, marker)
	r.RTT = time.Since(start)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Reply{What: "timeout"}, ctx.Err()
	}
	return r, err
}

func (s *prober) request(seq int, marker uint64, size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i)
	}
	binary.BigEndian.PutUint64(body, marker)
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: s.id, Seq: seq, Data: body}}
	if s.host.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	raw, _ := m.Marshal(nil) // an echo always can be; the kernel sums up ICMPv6
	return raw
}

// configure sets the socket's options for the next request.
func (s *prober) configure(p Ping) error {
	// PROBE sets DF and ignores the cached path MTU, DONT clears DF (ip(7)).
	level, opt, mode := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT
	if s.host.Is6() {
		level, opt = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	}
	if p.DF {
		mode = unix.IP_PMTUDISC_PROBE
	}
	if err := s.setsockopt(level, opt, mode); err != nil {
		return err
	}
	switch {
	case p.TTL == 0:
		return nil
	case s.v6 != nil:
		return s.v6.SetHopLimit(p.TTL)
	default:
		return s.v4.SetTTL(p.TTL)
	}
}

func (s *prober) setsockopt(level, opt, value int) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, opt, value) }); err != nil {
		return err
	}
	return set
}
