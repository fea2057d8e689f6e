package afxdp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"golang.org/x/sys/unix"
)

// bind opens one socket for each queue to serve, and lets the program know.
// Pools of one arena share a UMEM: each queue has rings of its own all the same
// (XDP_SHARED_UMEM, Linux 5.10), so their workers need not agree on anything.
func (d *Device) bind(c *Config, ifindex, serve int, pools []*buf.Pool) error {
	first := map[*buf.Arena]int{} // the socket with the arena's UMEM
	mode := c.Mode
	if !d.native {
		mode = Copy
	}
	for i := range serve {
		p := pools[i%len(pools)]
		share, ok := first[p.Arena()]
		if !ok {
			share = -1
		}
		s, err := d.socket(ifindex, i, c.Ring, p.Arena(), &mode, share)
		if err != nil {
			return err
		}
		if !ok {
			first[p.Arena()] = s.fd
		}
		d.zeroCopy = s.zeroCopy
		d.queues = append(d.queues, newQueue(d, i, s, p.Arena()))
		if err := d.program.Register(i, s.fd); err != nil {
			return fmt.Errorf("register queue %d: %w", i, err)
		}
	}
	return nil
}

// socket tries zero-copy unless the mode says otherwise. The first socket
// decides the mode for all.
func (d *Device) socket(ifindex, queue, ring int, a *buf.Arena, mode *Mode, share int) (*socket, error) {
	if *mode != Copy {
		s, err := newSocket(ifindex, queue, ring, a, unix.XDP_ZEROCOPY|unix.XDP_USE_NEED_WAKEUP, share)
		if err == nil {
			*mode = ZeroCopy
			return s, nil
		}
		if missing := (*drivers.Missing)(nil); errors.As(err, &missing) {
			return nil, err // it would lack in copy mode as well
		}
		if *mode == ZeroCopy {
			return nil, &drivers.Missing{What: "a NIC driver with AF_XDP zero-copy", Remedy: "use copy mode", Err: err}
		}
		d.refuse("zero-copy", err)
		*mode = Copy
	}
	return newSocket(ifindex, queue, ring, a, unix.XDP_COPY|unix.XDP_USE_NEED_WAKEUP, share)
}

func (d *Device) refuse(what string, err error) {
	d.refused = append(d.refused, what+" refused: "+err.Error())
}

func (d *Device) detail(serve, total int) string {
	words := []string{"copy", "generic"}
	if d.zeroCopy {
		words[0] = "zero-copy"
	}
	if d.native {
		words[1] = "native"
	}
	words = append(words, fmt.Sprintf("queues: %d of %d", serve, total))
	return strings.Join(append(words, d.refused...), ", ")
}
