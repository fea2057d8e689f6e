package traffic

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// A sink counts what arrives.
type sink struct {
	conn         *net.UDPConn
	in           batcher
	batch        []ipv4.Message
	size         uint64
	count, bytes uint64
	last         time.Time // when something has arrived
}

func (u UDP) sink() (*sink, error) {
	s := &sink{size: uint64(u.Size)}
	err := u.To.Do(func() (err error) {
		s.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(u.Addr))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("traffic: udp at %v: %w", u.Addr, err)
	}
	// Beyond net.core.rmem_max, as a few superpackets fill what that allows.
	if err := setOption(s.conn, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
		return nil, errors.Join(err, s.conn.Close())
	}
	room := u.Size
	if u.Segment > 1 { // superpackets stay whole
		if err := setOption(s.conn, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
			return nil, errors.Join(err, s.conn.Close())
		}
		room = 1 << 16
	}
	s.in = batches(s.conn, u.Addr.Addr())
	s.batch = make([]ipv4.Message, 64)
	for i := range s.batch {
		s.batch[i].Buffers = [][]byte{make([]byte, room)}
	}
	return s, nil
}

// run counts until nothing has arrived for a while after the senders are done.
func (s *sink) run(done <-chan struct{}) error {
	s.last = time.Now()
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(drain)); err != nil {
			return fmt.Errorf("traffic: %w", err)
		}
		n, err := s.in.ReadBatch(s.batch, 0)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			select {
			case <-done:
				return nil
			default:
				continue
			}
		case err != nil && !errors.Is(err, syscall.ECONNREFUSED):
			return fmt.Errorf("traffic: count: %w", err)
		}
		for _, m := range s.batch[:max(n, 0)] {
			s.count += (uint64(m.N) + s.size - 1) / s.size // a superpacket is several
			s.bytes += uint64(m.N)
		}
		s.last = time.Now()
	}
}
