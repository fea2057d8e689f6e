package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Pulse sends a datagram every so often from one namespace to another, which
// sends it back. The longest time without an answer is what users of the way
// between them would notice.
type Pulse struct {
	client, server *net.UDPConn
	wg             sync.WaitGroup
	stop           chan struct{}

	mu      sync.Mutex
	last    time.Time // when an answer came
	longest time.Duration
	sent    uint64
	got     uint64
}

// StartPulse starts a pulse from a namespace to an address of another.
func StartPulse(from, to *Namespace, addr netip.Addr, every time.Duration) (*Pulse, error) {
	p := &Pulse{stop: make(chan struct{}), last: time.Now()}
	open := func(n *Namespace, a netip.Addr) (conn *net.UDPConn, err error) {
		err = n.Do(func() (err error) {
			conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
			return err
		})
		return conn, err
	}
	var err error
	if p.server, err = open(to, addr); err != nil {
		return nil, fmt.Errorf("lab: pulse to %s: %w", to, err)
	}
	any := netip.IPv4Unspecified()
	if addr.Is6() {
		any = netip.IPv6Unspecified()
	}
	if p.client, err = open(from, any); err != nil {
		_ = p.server.Close()
		return nil, fmt.Errorf("lab: pulse from %s: %w", from, err)
	}
	p.wg.Go(p.echo)
	p.wg.Go(p.receive)
	p.wg.Go(func() { p.send(p.server.LocalAddr().(*net.UDPAddr).AddrPort(), every) })
	return p, nil
}

func (p *Pulse) echo() {
	var b [64]byte
	for {
		n, from, err := p.server.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return
		}
		_, _ = p.server.WriteToUDPAddrPort(b[:n], from) // what is lost is what is measured
	}
}

func (p *Pulse) receive() {
	var b [64]byte
	for {
		if _, _, err := p.client.ReadFromUDPAddrPort(b[:]); err != nil {
			return
		}
		now := time.Now()
		p.mu.Lock()
		p.got++
		p.longest = max(p.longest, now.Sub(p.last))
		p.last = now
		p.mu.Unlock()
	}
}

func (p *Pulse) send(to netip.AddrPort, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var b [8]byte
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		p.sent++
		binary.BigEndian.PutUint64(b[:], p.sent)
		p.mu.Unlock()
		_, _ = p.client.WriteToUDPAddrPort(b[:], to) // no route, for a while
	}
}

// Reset begins a new measurement.
func (p *Pulse) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.longest, p.sent, p.got = time.Now(), 0, 0, 0
}

// Longest returns the longest time without an answer, up to now.
func (p *Pulse) Longest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.longest, time.Since(p.last))
}

// Lost returns how many datagrams have not come back.
func (p *Pulse) Lost() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent - min(p.sent, p.got)
}

// Settle waits until answers come, at most for the given time, and a moment
// more, so that what is still under way arrives. It reports whether they do.
func (p *Pulse) Settle(limit time.Duration) bool {
	const streak = 50 // answers
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		start := p.got
		p.mu.Unlock()
		time.Sleep(2 * streak * time.Millisecond)
		p.mu.Lock()
		now := p.got
		p.mu.Unlock()
		if now-start >= streak {
			return true
		}
	}
	return false
}

// Stop ends the pulse.
func (p *Pulse) Stop() {
	close(p.stop)
	_ = p.client.Close()
	_ = p.server.Close()
	p.wg.Wait()
}
