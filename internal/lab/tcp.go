package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Transfer is a TCP transfer from a namespace to another, bounded by bytes
// or by time.
type Transfer struct {
	From, To *Namespace
	Addr     netip.AddrPort // of To, as From sees it; a port of 0 is chosen
	Bytes    int64          // per stream; 0: bounded by Duration
	Duration time.Duration  // used if Bytes is 0; 0: 1 s
	Streams  int            // at a time; 0: 1
	Chunk    int            // bytes per write; 0: 128 KiB
	By       netip.AddrPort // what From connects to, if that stands for Addr; zero: Addr
	Blind    bool           // do not compare what arrives: ~5 % faster

	Congestion string // control of the sender, by the kernel's name of it; empty: the namespace's own
}

// A Rate is what a transfer has achieved.
type Rate struct {
	Bytes   int64 // received, all streams
	Elapsed time.Duration
}

// Gbps returns the rate in 10⁹ bits of payload per second.
func (r Rate) Gbps() float64 { return float64(r.Bytes) * 8 / float64(r.Elapsed.Nanoseconds()) }

func (r Rate) String() string {
	return fmt.Sprintf("%d bytes in %v, %.2f Gb/s", r.Bytes, r.Elapsed.Round(time.Microsecond), r.Gbps())
}

// Run does the transfer. It fails if any byte is lost, doubled or changed, or
// when ctx ends before everything has arrived.
func (t Transfer) Run(ctx context.Context) (Rate, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := t.To.ListenTCP(t.Addr)
	if err != nil {
		return Rate{}, err
	}
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	dst := t.By
	if !dst.IsValid() {
		dst = netip.AddrPortFrom(t.Addr.Addr(), ln.Addr().(*net.TCPAddr).AddrPort().Port())
	}

	streams := max(t.Streams, 1)
	start := time.Now()
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		rate Rate
		errs []error
	)
	run := func(f func() (int64, error)) {
		wg.Go(func() {
			n, err := f()
			mu.Lock()
			defer mu.Unlock()
			rate.Bytes += n
			if err != nil {
				errs = append(errs, err)
				cancel() // the other side shall not wait
			}
		})
	}
	for range streams {
		run(func() (int64, error) { return t.receive(ctx, ln) })
		run(func() (int64, error) { return 0, t.send(ctx, dst) })
	}
	wg.Wait()
	rate.Elapsed = time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return rate, fmt.Errorf("lab: tcp from %s to %s %v: %w", t.From, t.To, dst, err)
	}
	return rate, nil
}

// send writes the pattern; then it waits until the other side has closed, so
// that data in flight does not count as arrived.
func (t Transfer) send(ctx context.Context, dst netip.AddrPort) error {
	conn, err := t.From.dialTCP(ctx, dst, t.control)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	limit := t.Duration
	if limit == 0 {
		limit = time.Second
	}
	end := time.Now().Add(limit)
	block, chunk := pattern(t.chunk())
	var sent int64
	for t.Bytes == 0 && time.Now().Before(end) || sent < t.Bytes {
		n := int64(chunk)
		if t.Bytes > 0 {
			n = min(n, t.Bytes-sent)
		}
		at := sent % period
		w, err := conn.Write(block[at : at+n])
		sent += int64(w)
		if err != nil {
			return fmt.Errorf("send after %d bytes: %w", sent, err)
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return fmt.Errorf("close after %d bytes: %w", sent, err)
	}
	var total [8]byte
	if _, err := io.ReadFull(conn, total[:]); err != nil {
		return fmt.Errorf("await receipt for %d bytes: %w", sent, err)
	}
	if got := int64(binary.LittleEndian.Uint64(total[:])); got != sent {
		return fmt.Errorf("%d bytes sent, %d received", sent, got)
	}
	return nil
}

// receive compares what one connection brings with the pattern.
func (t Transfer) receive(ctx context.Context, ln *net.TCPListener) (int64, error) {
	conn, err := ln.AcceptTCP()
	if err != nil {
		return 0, fmt.Errorf("accept: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	block, _ := pattern(t.chunk())
	got := make([]byte, t.chunk())
	var sum int64
	for {
		n, err := conn.Read(got)
		at := sum % period
		if !t.Blind && !bytes.Equal(got[:n], block[at:at+int64(n)]) {
			return sum, fmt.Errorf("bytes %d to %d are not what was sent", sum, sum+int64(n))
		}
		sum += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sum, fmt.Errorf("receive after %d bytes: %w", sum, err)
		}
	}
	if _, err := conn.Write(binary.LittleEndian.AppendUint64(nil, uint64(sum))); err != nil {
		return sum, fmt.Errorf("receipt: %w", err)
	}
	return sum, nil
}

// control prepares the sender's socket.
func (t Transfer) control(_, _ string, c syscall.RawConn) (err error) {
	if t.Congestion == "" {
		return nil
	}
	failed := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, t.Congestion)
	})
	if err != nil {
		err = fmt.Errorf("congestion control %q: %w", t.Congestion, err)
	}
	return errors.Join(failed, err)
}

func (t Transfer) chunk() int {
	if t.Chunk == 0 {
		return 128 << 10
	}
	return t.Chunk
}

// period is the number of bytes after which the pattern repeats: a prime, so
// that a packet or a page that is lost, doubled or swapped shows.
const period = 65521

// pattern returns bytes in which a chunk may start at any position below
// period.
func pattern(chunk int) ([]byte, int) {
	rnd := rand.New(rand.NewPCG(1, 2))
	block := make([]byte, period+chunk)
	for i := range period {
		block[i] = byte(rnd.Uint32())
	}
	for i := period; i < len(block); i++ {
		block[i] = block[i-period]
	}
	return block, chunk
}

// ListenTCP listens in the namespace; a port of 0 is chosen.
func (n *Namespace) ListenTCP(addr netip.AddrPort) (ln *net.TCPListener, err error) {
	err = n.Do(func() (err error) {
		ln, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: listen in %s: %w", n, err)
	}
	return ln, nil
}

// DialTCP connects from the namespace. ctx bounds the connecting.
func (n *Namespace) DialTCP(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error) {
	return n.dialTCP(ctx, addr, nil)
}

func (n *Namespace) dialTCP(ctx context.Context, addr netip.AddrPort, prepare func(network, addr string, c syscall.RawConn) error) (conn *net.TCPConn, err error) {
	err = n.Do(func() error {
		// A single literal address is dialled on the calling thread.
		c, err := (&net.Dialer{Control: prepare}).DialContext(ctx, "tcp", addr.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: connect from %s: %w", n, err)
	}
	return conn, nil
}
