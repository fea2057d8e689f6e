package nstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
)

// Patience bounds everything that waits for the kernel.
const Patience = 5 * time.Second

// ListenUDP opens a UDP socket at addr, such as "10.0.0.1:9".
func (n *NS) ListenUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	var c net.PacketConn
	n.Do(t, func() (err error) { c, err = net.ListenPacket("udp", addr); return err })
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(4 * Patience))
	return c.(*net.UDPConn)
}

// SendTCP sends size bytes from a to b, where addr is b's, and checks that
// they arrive as they were. It returns the rate in Gbit/s.
func SendTCP(t testing.TB, a, b *NS, addr string, size int) float64 {
	t.Helper()
	var l net.Listener
	b.Do(t, func() (err error) { l, err = net.Listen("tcp", addr); return err })
	defer l.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7 >> 3)
	}
	received := make(chan error, 1)
	go func() { received <- receive(l, block, size) }()
	var c net.Conn
	a.Do(t, func() (err error) { c, err = net.DialTimeout("tcp", l.Addr().String(), Patience); return err })
	c.SetDeadline(time.Now().Add(4 * Patience))
	start := time.Now()
	for sent := 0; sent < size; sent += len(block) {
		if _, err := c.Write(block[:min(len(block), size-sent)]); err != nil {
			t.Fatalf("nstest: TCP after %d of %d bytes: %v", sent, size, err)
		}
	}
	c.Close()
	if err := <-received; err != nil {
		t.Fatalf("nstest: TCP: %v", err)
	}
	return float64(size) * 8 / float64(time.Since(start))
}

func receive(l net.Listener, block []byte, size int) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(4 * Patience))
	got := make([]byte, len(block))
	for at := 0; at < size; at += len(block) {
		n := min(len(block), size-at)
		if _, err := io.ReadFull(c, got[:n]); err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", at, size, err)
		}
		if !bytes.Equal(got[:n], block[:n]) {
			return fmt.Errorf("other bytes than were sent, between %d and %d", at, at+n)
		}
	}
	return nil
}

// Relay carries packets between two queues until the returned function is
// called, which waits for it to end. each, if not nil, sees every packet.
func Relay(p *buf.Pool, a, b drivers.Queue, each func(*buf.Buffer)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var v [256]*buf.Buffer
		for ctx.Err() == nil {
			if move(p, a, b, v[:], each)+move(p, b, a, v[:], each) == 0 {
				time.Sleep(20 * time.Microsecond)
			}
		}
	}()
	return func() { cancel(); <-done }
}

func move(p *buf.Pool, from, to drivers.Queue, v []*buf.Buffer, each func(*buf.Buffer)) int {
	n := from.Rx(p, v)
	for _, b := range v[:n] {
		if each != nil {
			each(b)
		}
	}
	p.Put(v[to.Tx(p, v[:n]):n])
	return n
}

// Collect receives until it has want packets or patience ends, and returns
// what it has. The caller puts them back.
func Collect(p *buf.Pool, q drivers.Queue, want int) (got []*buf.Buffer) {
	v := make([]*buf.Buffer, 256)
	for end := time.Now().Add(Patience); len(got) < want && time.Now().Before(end); {
		n := q.Rx(p, v[:min(len(v), want-len(got))])
		got = append(got, v[:n]...)
		if n == 0 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	return got
}

// NewPool makes a pool and checks at the end of the test that all its buffers
// have come back.
func NewPool(t testing.TB, small, large int) *buf.Pool {
	t.Helper()
	p, err := buf.NewPool(small, large)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s := p.Stats(); s.SmallFree != s.Small || s.LargeFree != s.Large {
			t.Errorf("buffers lost: %+v", s)
		}
		p.Arena().Close()
	})
	return p
}
