// Package pcap answers one question: how are packets of a capture file fed to
// a graph, and what it sends captured?
//
// It serves tests, bug reports and demonstrations, not traffic: sending writes
// to a file, which can block, and reads the clock once per vector. What is to
// be received is read from the file when the device is opened. Maturity:
// stable for pcap files; pcapng is not read.
package pcap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/mem"
)

// MaxPacket is the longest packet, in bytes: what a large buffer takes.
const MaxPacket = buf.LargeStride - buf.Headroom

// MaxBytes is the most that a file's packets may take in memory.
const MaxBytes = 1 << 30

// Config says which files a device uses. At least one of Read and Write is set.
type Config struct {
	Read  string // what is received; empty: nothing
	Loop  int    // how often to start over, or mem.Forever
	Write string // where to write what is sent; empty: it is forgotten
	IP    bool   // without Read: packets start at an IP header (LINKTYPE_RAW)
	MTU   int    // 0: 1500
	MAC   net.HardwareAddr
	Now   func() time.Time // stamps what is sent; nil: time.Now
}

// A Device receives from one file and sends to another.
type Device struct {
	info  drivers.Info
	queue queue
}

// Open reads the file to receive from and creates the file to send to.
func Open(c Config) (*Device, error) {
	if c.Read == "" && c.Write == "" {
		return nil, errors.New("pcap: open: no file to read and none to write")
	}
	d := &Device{info: drivers.Info{Driver: "pcap", Ethernet: !c.IP, MAC: c.MAC, MTU: c.MTU}}
	if d.info.MTU == 0 {
		d.info.MTU = 1500
	}
	var packets []mem.Packet
	if c.Read != "" {
		var err error
		if packets, d.info.Ethernet, err = read(c.Read); err != nil {
			return nil, fmt.Errorf("pcap: read %s: %w", c.Read, err)
		}
	}
	if d.info.Ethernet && d.info.MAC == nil {
		d.info.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	}
	d.info.Detail = fmt.Sprintf("%d packets to receive from %q, writing to %q", len(packets), c.Read, c.Write)
	d.queue = queue{source: mem.NewSource(packets, c.Loop), now: c.Now}
	if c.Now == nil {
		d.queue.now = time.Now
	}
	if c.Write != "" {
		if err := d.queue.create(c.Write, d.info.Ethernet); err != nil {
			return nil, fmt.Errorf("pcap: write %s: %w", c.Write, err)
		}
	}
	return d, nil
}

// read returns the packets of a file, and whether they are Ethernet frames.
func read(path string) (packets []mem.Packet, ethernet bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	return parse(bufio.NewReader(f))
}

func parse(from io.Reader) (packets []mem.Packet, ethernet bool, err error) {
	r, err := pcapgo.NewReader(from)
	if err != nil {
		return nil, false, err
	}
	switch r.LinkType() {
	case layers.LinkTypeEthernet:
		ethernet = true
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
	default:
		return nil, false, fmt.Errorf("link type %v: neither Ethernet nor IP", r.LinkType())
	}
	// The file's own limit is of no use: it may be 0 or 4 GiB.
	r.SetSnaplen(MaxPacket)
	for total := 0; ; {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return packets, ethernet, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("packet %d: %w", len(packets)+1, err)
		}
		if total += len(data); total > MaxBytes {
			return nil, false, fmt.Errorf("more than %d bytes of packets", MaxBytes)
		}
		packets = append(packets, mem.Packet{Data: data})
	}
}

// Info implements drivers.Device.
func (d *Device) Info() drivers.Info { return d.info }

// Queues implements drivers.Device.
func (d *Device) Queues() []drivers.Queue { return []drivers.Queue{&d.queue} }

// Close implements drivers.Device.
func (d *Device) Close() error { return nil }

// A queue is the only one of a device.
type queue struct {
	source *mem.Source
	stats  drivers.Stats
	now    func() time.Time
	file   *os.File
	buffer *bufio.Writer
	writer *pcapgo.Writer
}

func (q *queue) create(path string, ethernet bool) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	link := layers.LinkTypeRaw
	if ethernet {
		link = layers.LinkTypeEthernet
	}
	q.file, q.buffer = f, bufio.NewWriterSize(f, 1<<20)
	q.writer = pcapgo.NewWriterNanos(q.buffer)
	if err := q.writer.WriteFileHeader(MaxPacket, link); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// Rx implements drivers.Queue.
func (q *queue) Rx(p *buf.Pool, into []*buf.Buffer) int { return q.source.Rx(p, into, &q.stats) }

// Tx implements drivers.Queue. What cannot be written counts as TxErrors.
func (q *queue) Tx(p *buf.Pool, bufs []*buf.Buffer) int {
	if q.writer != nil {
		stamp := q.now()
		for _, b := range bufs {
			n := b.Len()
			if q.writer.WritePacket(gopacket.CaptureInfo{Timestamp: stamp, CaptureLength: n, Length: n}, b.Bytes()) != nil {
				q.stats.TxErrors++
			}
		}
	}
	p.Put(bufs)
	return len(bufs)
}

// FD implements drivers.Queue: there is nothing to sleep on.
func (q *queue) FD() int { return -1 }

// Stats implements drivers.Queue.
func (q *queue) Stats() drivers.Stats { return q.stats }

// Close implements drivers.Queue. It completes the file.
func (q *queue) Close(*buf.Pool) error {
	q.source.Stop()
	if q.file == nil {
		return nil
	}
	err := errors.Join(q.buffer.Flush(), q.file.Close())
	q.file, q.writer = nil, nil
	if err != nil {
		return fmt.Errorf("pcap: close: %w", err)
	}
	return nil
}

var _ drivers.Queue = (*queue)(nil)
var _ drivers.Device = (*Device)(nil)
