package dhcprelay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenAt opens the port of servers and relays at one of the node's addresses.
// A server of the node's own that shares the port keeps what comes by the
// others.
func listenAt(addr netip.Addr) (*net.UDPConn, error) {
	share := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (failed error) {
		err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(err, failed)
	}}
	conn, err := share.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(addr, serverPort).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}
