package tuntap

import (
	"fmt"

	"golang.org/x/sys/unix"
)

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
