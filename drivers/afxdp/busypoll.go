package afxdp

import (
	"errors"
	"fmt"

	"github.com/skein-dataplane/skein/drivers"
	"golang.org/x/sys/unix"
)

// MaxBusyPoll is the largest Config.BusyPoll: what the option's 16 bits hold
// (SO_BUSY_POLL_BUDGET).
const MaxBusyPoll = 1<<16 - 1

// busyPollTime switches busy polling on, in microseconds. How long it is makes
// no difference to a system call that does not wait.
const busyPollTime = 20

// poll switches busy polling on for all queues, if it is wanted.
func (d *Device) poll(budget int) error {
	if budget == 0 {
		return nil
	}
	for _, x := range d.queues {
		q := x.(*queue)
		if err := busyPoll(q.fd, budget); err != nil {
			return err
		}
		q.polls = true
	}
	d.info.Detail += fmt.Sprintf(", busy polling of %d packets", budget)
	return nil
}

// busyPoll has the kernel run the NIC's driver for up to budget packets when the
// socket is asked for some (Linux, Documentation/networking/napi.rst, "Busy
// polling"). What the kernel refuses is an error, as somebody has asked for it.
func busyPoll(fd, budget int) error {
	for _, o := range []struct {
		name       string
		opt, value int
	}{
		{"SO_PREFER_BUSY_POLL", unix.SO_PREFER_BUSY_POLL, 1},
		{"SO_BUSY_POLL", unix.SO_BUSY_POLL, busyPollTime},
		{"SO_BUSY_POLL_BUDGET", unix.SO_BUSY_POLL_BUDGET, budget},
	} {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.opt, o.value)
		if errors.Is(err, unix.ENOPROTOOPT) {
			return &drivers.Missing{What: "busy polling of sockets", Err: fmt.Errorf("%s: %w", o.name, err),
				Remedy: "use Linux 5.11 or later with CONFIG_NET_RX_BUSY_POLL, or switch it off"}
		}
		if err != nil {
			return fmt.Errorf("busy polling: %s: %w", o.name, needs(err))
		}
	}
	return nil
}
