package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// A batcher sends and receives several datagrams with one system call.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

func batches(conn *net.UDPConn, addr netip.Addr) batcher {
	if addr.Is4() {
		return ipv4.NewPacketConn(conn)
	}
	return ipv6.NewPacketConn(conn)
}

// setOption sets an option of a socket.
func setOption(conn *net.UDPConn, level, opt, value int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("traffic: udp socket: %w", err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, opt, value) }); err != nil {
		return fmt.Errorf("traffic: udp socket: %w", err)
	}
	if failed != nil {
		return fmt.Errorf("traffic: udp socket, option %d: %w", opt, failed)
	}
	return nil
}

// A sender is a thread of a flood, with sockets of its own.
type sender struct {
	conns         []*net.UDPConn
	outs          []batcher
	batch         []ipv4.Message
	each          uint64  // datagrams in a message
	limit         uint64  // datagrams; 0: none
	rate          float64 // datagrams a second; 0: none
	sent, refused uint64
	err           error // the last that was refused
}

func (u UDP) sender(dst netip.AddrPort, i int) (*sender, error) {
	s := &sender{each: uint64(u.Segment), limit: share(u.Count, i, u.Senders), rate: u.Rate / float64(u.Senders)}
	if u.Count > 0 && s.limit == 0 {
		return s, nil // there are fewer datagrams than senders
	}
	for range share(uint64(u.Flows), i, u.Senders) {
		var conn *net.UDPConn
		err := u.From.Do(func() (err error) {
			conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(dst))
			return err
		})
		if err != nil {
			s.close()
			return nil, fmt.Errorf("traffic: udp to %v: %w", dst, err)
		}
		s.conns, s.outs = append(s.conns, conn), append(s.outs, batches(conn, dst.Addr()))
		if u.Segment > 1 {
			if err := setOption(conn, unix.IPPROTO_UDP, unix.UDP_SEGMENT, u.Size); err != nil {
				s.close()
				return nil, err
			}
		}
	}
	payload := make([]byte, u.Size*u.Segment)
	s.batch = make([]ipv4.Message, u.Batch)
	for i := range s.batch {
		s.batch[i].Buffers = [][]byte{payload}
	}
	return s, nil
}

func (s *sender) close() {
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// run sends until ctx ends, or all is sent.
func (s *sender) run(ctx context.Context) {
	if len(s.outs) == 0 {
		return
	}
	stop := context.AfterFunc(ctx, func() {
		for _, c := range s.conns {
			_ = c.SetWriteDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	start := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		n := s.next(time.Since(start))
		if n == 0 {
			if s.limit > 0 && s.sent+s.refused >= s.limit {
				return
			}
			time.Sleep(pace)
			continue
		}
		done, err := s.outs[i%len(s.outs)].WriteBatch(s.batch[:n], 0)
		s.sent += uint64(max(done, 0)) * s.each
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			s.refused += s.each // the first that is not sent; the others are tried again
			s.err = err
		}
	}
}

// pace is how long a sender with a rate waits before it looks again.
const pace = 100 * time.Microsecond

// next returns how many messages to send now.
func (s *sender) next(elapsed time.Duration) int {
	n, done := uint64(len(s.batch)), s.sent+s.refused
	if s.rate > 0 {
		due := uint64(s.rate * elapsed.Seconds())
		n = min(n, (max(due, done)-done)/s.each)
	}
	if s.limit > 0 {
		n = min(n, (max(s.limit, done)-done+s.each-1)/s.each)
	}
	return int(n)
}
