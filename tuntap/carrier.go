package tuntap

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// runningLimit is how long the kernel gets to see a carrier.
const runningLimit = 5 * time.Second

// AwaitRunning waits until packets can leave by an interface that was set up,
// or has got a carrier, just now. The kernel sees a carrier in a work queue
// (linkwatch); until then it loses what is sent, with no error: the first frame
// towards a veth whose other side was set up was lost in 30 of 100 trials.
func (l *Link) AwaitRunning() error {
	for end := time.Now().Add(runningLimit); ; time.Sleep(100 * time.Microsecond) {
		s, err := l.State()
		if err != nil || s.Running {
			return err
		}
		if time.Now().After(end) {
			return l.wrap("wait for its carrier", errors.New("there is none"))
		}
	}
}

// SetCarrier says whether the namespace sees a carrier on the interface, as of
// a cable that is plugged in. Without one the kernel sends nothing by it, and
// says so to whoever watches the link (TUNSETCARRIER, since Linux 5.0). It must
// not be called while the device's queues are being closed.
func (d *Device) SetCarrier(on bool) error {
	if err := unix.IoctlSetPointerInt(d.queues[0].fd, unix.TUNSETCARRIER, bit(on)); err != nil {
		return fmt.Errorf("tuntap: %s: ioctl TUNSETCARRIER: %w", d.name, err)
	}
	return nil
}
