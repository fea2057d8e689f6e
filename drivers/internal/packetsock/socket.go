package packetsock

import (
	"errors"
	"fmt"

	"github.com/skein-dataplane/skein/drivers"
	"golang.org/x/sys/unix"
)

// TxBytes is how much a socket may have on its way, in bytes, where nothing else
// is said.
const TxBytes = 4 << 20

// New returns a packet socket that is bound to nothing and hears nothing yet.
func New() (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w", Needs(err))
	}
	return fd, nil
}

// OpenSender opens a socket for a Sender on an interface of the calling thread's
// namespace. It receives nothing, as it is bound to no protocol (packet(7)).
func OpenSender(ifindex int) (int, error) {
	fd, err := New()
	if err != nil {
		return -1, err
	}
	err = Set(fd, Option{"SO_SNDBUFFORCE", unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, TxBytes},
		Option{"PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex})
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("packet socket: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// An Option is one of a socket's.
type Option struct {
	Name              string
	Level, Opt, Value int
}

// Set sets options in their order.
func Set(fd int, options ...Option) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.Level, o.Opt, o.Value); err != nil {
			return fmt.Errorf("%s: %w", o.Name, Needs(err))
		}
	}
	return nil
}

// Needs says what to do about errors that have a usual cause.
func Needs(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return &drivers.Missing{What: "CAP_NET_RAW and CAP_NET_ADMIN", Remedy: "run as root or grant them", Err: err}
	case errors.Is(err, unix.EAFNOSUPPORT):
		return &drivers.Missing{What: "packet sockets", Remedy: "use a kernel built with CONFIG_PACKET", Err: err}
	}
	return err
}
