package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// ListenUDP opens a UDP socket in the namespace; a port of 0 is chosen.
func (n *Namespace) ListenUDP(addr netip.AddrPort) (conn *net.UDPConn, err error) {
	err = n.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: udp socket in %s: %w", n, err)
	}
	return conn, nil
}

// DialUDP opens a UDP socket in the namespace that is connected to addr.
func (n *Namespace) DialUDP(addr netip.AddrPort) (conn *net.UDPConn, err error) {
	err = n.Do(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: udp socket in %s: %w", n, err)
	}
	return conn, nil
}

// Echo answers UDP datagrams in the namespace with their own content until
// ctx ends. It returns the address that it listens on.
func (n *Namespace) Echo(ctx context.Context, addr netip.AddrPort) (netip.AddrPort, error) {
	conn, err := n.ListenUDP(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	go func() {
		datagram := make([]byte, 1<<16)
		for {
			size, from, err := conn.ReadFromUDPAddrPort(datagram)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil { // else an ICMP error about an earlier answer
				_, _ = conn.WriteToUDPAddrPort(datagram[:size], from) // may be lost, as any
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// Asks sends count datagrams of size bytes to an echo server, one after the
// other, and returns how many came back whole within timeout each.
func (n *Namespace) Asks(ctx context.Context, addr netip.AddrPort, count, size int, timeout time.Duration) (answered int, err error) {
	conn, err := n.DialUDP(addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	question, _ := pattern(max(size, 8))
	question = question[:max(size, 8)]
	answer := make([]byte, 1<<16)
	for i := range count {
		if err := ctx.Err(); err != nil {
			return answered, err
		}
		binary.LittleEndian.PutUint64(question, uint64(i))
		if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return answered, fmt.Errorf("lab: udp from %s: %w", n, err)
		}
		if _, err := conn.Write(question); err != nil {
			continue // too big, or an ICMP error about an earlier one
		}
		for {
			got, err := conn.Read(answer)
			if err != nil {
				break // timeout, or an ICMP error: not answered
			}
			if bytes.Equal(answer[:got], question) {
				answered++
				break
			}
		}
	}
	return answered, nil
}
