package tuntap

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Dup returns descriptors of the device's queues that stay open when those are
// closed, to be handed to another process. As long as they are open the
// interface keeps its carrier, and the kernel keeps packets for their reader.
func (d *Device) Dup() (fds []int, err error) {
	for _, q := range d.queues {
		fd, err := unix.FcntlInt(uintptr(q.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
			return nil, fmt.Errorf("tuntap: %q: %w", d.name, os.NewSyscallError("dup", err))
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// Adopt makes a device of the descriptors of one that another process has
// opened with the same Name, NetNS, Mode and Offload; MTU, TxQueueLen, NoQueue
// and MAC are set where Config gives them. It takes the descriptors over, also
// if it fails. Where there are fewer than Queues, it opens more, if the
// interface can have them; where there are more, all are kept, as each holds
// packets.
func Adopt(c Config, fds []int) (*Device, error) {
	if len(fds) == 0 {
		return nil, fmt.Errorf("tuntap: adopt %v %q: no descriptors", c.Mode, c.Name)
	}
	d := &Device{name: c.Name, netNS: c.NetNS}
	for _, fd := range fds {
		d.queues = append(d.queues, newQueue(fd, c.Offload))
	}
	_, err := open("adopt", c, func() (*Device, error) { return d, d.adopt(c) })
	if err != nil {
		return nil, errors.Join(err, d.discard(false))
	}
	return d, nil
}

// adopt checks the queues, and opens those that are missing.
func (d *Device) adopt(c Config) error {
	flags := uint16(0)
	for _, q := range d.queues {
		var err error
		if flags, err = c.opened(q.fd); err != nil {
			return err
		}
	}
	if err := d.open(c, flags, Config.queue); err != nil {
		return explain(err)
	}
	if err := d.begin(c); err != nil {
		return err
	}
	return d.prepare(c)
}

// opened checks that a descriptor is a queue of the interface, with a header
// before each packet or without as Config says. It returns the flags to open
// another with.
func (c Config) opened(fd int) (flags uint16, err error) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req); err != nil {
		return 0, os.NewSyscallError("ioctl TUNGETIFF", err)
	}
	const kind = unix.IFF_TUN | unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	has := req.Uint16()
	if want := c.flags() & kind; req.Name() != c.Name || has&kind != want {
		return 0, fmt.Errorf("the descriptor is of %q with flags %#x, not %#x", req.Name(), has&kind, want)
	}
	return has & (kind | unix.IFF_MULTI_QUEUE), nil
}
