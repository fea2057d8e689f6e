// Package afpacket answers one question: how do packets get in and out of a
// NIC that AF_XDP cannot share without a copy?
//
// By packet sockets (packet(7)) with a virtio-net header before each packet,
// read and written in batches by recvmmsg and sendmmsg. The header lets TCP
// and UDP superpackets of up to 64 KiB cross as one buffer: between veth pairs
// that carried 12.8 Gb/s per TCP stream where the rings of TPACKET_V3 with the
// same header carried 10.3, and any variant without it 2 to 2.7. TPACKET_V3
// needs a third less time per 64-byte packet, but hands blocks over after a
// millisecond at the earliest, which delays acknowledgements; for small
// packets there is AF_XDP.
//
// PACKET_QDISC_BYPASS is never set: with it a superpacket to a device that
// cannot cut it vanishes, and without it the kernel cuts it in software.
//
// Superpackets longer than 64 KiB (BIG TCP: a gso_max_size or gro_max_size
// above 65536, which is not the default) do not fit and count as RxErrors, as
// do those of tunnels, which a virtio-net header cannot describe.
//
// The kernel's own stack still sees what a socket receives. Keeping it off is
// the business of whoever takes the interface over. Maturity: stable.
package afpacket

import (
	"errors"
	"fmt"
	"net"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/inns"
	"github.com/skein-dataplane/skein/drivers/internal/packetsock"
	"golang.org/x/sys/unix"
)

// MaxQueues is the number of sockets that one fanout group can have
// (PACKET_FANOUT_MAX was 256 before Linux 5.7).
const MaxQueues = 256

// defaultRxBytes is the default of Config.RxBytes.
const defaultRxBytes = 16 << 20

// Config says what to open.
type Config struct {
	Interface string
	NetNS     string // path of its network namespace; empty: the caller's
	Queues    int    // sockets that share its packets by flow; 0: one
	RxBytes   int    // each socket's receive buffer; 0: 16 MiB
	TxBytes   int    // each socket's send buffer; 0: 4 MiB
}

// A Device is an interface seen through packet sockets.
type Device struct {
	info   drivers.Info
	queues []drivers.Queue
}

// Open opens the interface, in promiscuous mode. It needs CAP_NET_RAW, and
// CAP_NET_ADMIN for the size of the buffers, in the namespace of the
// interface, and returns a *drivers.Missing where they lack. For more than one
// queue, kernels before 6.16 want it up.
func Open(c Config) (*Device, error) {
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.Queues < 0 || c.Queues > MaxQueues {
		return nil, fmt.Errorf("afpacket: open %s: %d queues: not in 1..%d", c.Interface, c.Queues, MaxQueues)
	}
	if c.RxBytes == 0 {
		c.RxBytes = defaultRxBytes
	}
	if c.TxBytes == 0 {
		c.TxBytes = packetsock.TxBytes
	}
	d := &Device{}
	if err := inns.Do(c.NetNS, func() error { return d.open(c) }); err != nil {
		for _, q := range d.queues {
			err = errors.Join(err, unix.Close(q.FD()))
		}
		return nil, fmt.Errorf("afpacket: open %s: %w", c.Interface, err)
	}
	return d, nil
}

func (d *Device) open(c Config) error {
	link, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return err
	}
	if len(link.HardwareAddr) != 6 {
		return fmt.Errorf("not an Ethernet interface")
	}
	fanout := 0
	for range c.Queues {
		fd, err := packetsock.New()
		if err != nil {
			return err
		}
		d.queues = append(d.queues, newQueue(fd))
		if err := setUp(fd, link.Index, &c, &fanout); err != nil {
			return err
		}
	}
	if err := d.unmute(); err != nil {
		return err
	}
	d.info = drivers.Info{Driver: "af_packet", Ethernet: true, MAC: link.HardwareAddr, MTU: link.MTU,
		Offload: drivers.AllOffloads,
		Detail:  fmt.Sprintf("recvmmsg and sendmmsg with virtio-net header, queues: %d", c.Queues)}
	return nil
}

// Info implements drivers.Device.
func (d *Device) Info() drivers.Info { return d.info }

// Queues implements drivers.Device.
func (d *Device) Queues() []drivers.Queue { return d.queues }

// Close implements drivers.Device. All that the device has are its queues:
// promiscuous mode and the fanout group end with the last of their sockets.
func (d *Device) Close() error { return nil }

var _ drivers.Queue = (*queue)(nil)
var _ drivers.Device = (*Device)(nil)

// A queue is one packet socket.
type queue struct {
	fd    int
	stats drivers.Stats
	rx    receiver
	tx    packetsock.Sender
}

func newQueue(fd int) *queue {
	q := &queue{fd: fd}
	q.rx.init()
	q.tx.Init(fd, &q.stats)
	return q
}

// FD implements drivers.Queue. When the interface goes down it polls readable
// with an error, which the next Rx takes away.
func (q *queue) FD() int { return q.fd }

// Tx implements drivers.Queue. See packetsock.Sender.
func (q *queue) Tx(p *buf.Pool, bufs []*buf.Buffer) (sent int) { return q.tx.Tx(p, bufs) }

// Stats implements drivers.Queue. It makes one system call, that does not
// block.
func (q *queue) Stats() drivers.Stats {
	q.stats.RxDropped += kernelDrops(q.fd)
	return q.stats
}

// Close implements drivers.Queue.
func (q *queue) Close(p *buf.Pool) error {
	if q.fd < 0 {
		return nil
	}
	err := unix.Close(q.fd)
	q.fd = -1
	q.rx.release(p)
	if err != nil {
		return fmt.Errorf("afpacket: close: %w", err)
	}
	return nil
}
