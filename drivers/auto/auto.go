// Package auto answers one question: which driver serves an interface best,
// and why not another?
//
// The choice is made by opening, not by comparing versions. AF_XDP is taken
// where the NIC does it without a copy; where it would copy (veth, most
// clouds' virtual NICs) AF_PACKET with the virtio-net header receives 1.2 to 1.7
// times as much TCP, since superpackets come whole. Maturity: stable; that a
// NIC gives zero-copy has not been met in a test.
package auto

import (
	"errors"
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/afpacket"
	"github.com/skein-dataplane/skein/drivers/afxdp"
)

// The drivers that can be asked for.
const (
	Auto     = "auto"
	AFXDP    = "af_xdp" // zero-copy or not, native or generic, whatever is given
	AFPacket = "af_packet"
)

// Config says what to open.
type Config struct {
	Interface string
	NetNS     string        // path of its network namespace; empty: the caller's
	Driver    string        // Auto, AFXDP or AFPacket; empty: Auto
	XDP       XDP           // how, if it is AF_XDP
	Guard     drivers.Guard // what a device that is drivers.Guarded drops from the first packet on
}

// XDP is what AF_XDP is asked for; see afxdp.Config.
type XDP struct {
	Superpackets string // "auto" or empty, "whole", "cut"
	BusyPoll     int    // packets at a time; 0: none
}

// xdp returns the driver's own configuration.
func (c Config) xdp(mode afxdp.Mode) afxdp.Config {
	x := afxdp.Config{Interface: c.Interface, NetNS: c.NetNS, Mode: mode, Guard: c.Guard, BusyPoll: c.XDP.BusyPoll}
	if c.XDP.Superpackets != Auto {
		x.Superpackets = afxdp.Superpackets(c.XDP.Superpackets)
	}
	return x
}

// A Candidate is a driver that was thought of.
type Candidate struct {
	Driver string
	Chosen bool
	Reason string // why it was chosen or not, in one sentence
}

// Open opens the interface with the best driver, or the one asked for. Queue
// i of the device belongs to the pool i modulo len(pools). The candidates say
// why, also if none of them would do.
func Open(c Config, pools []*buf.Pool) (drivers.Device, []Candidate, error) {
	if len(pools) == 0 {
		return nil, nil, errors.New("auto: open: no pool")
	}
	switch c.Driver {
	case AFXDP:
		d, err := openXDP(c, pools, afxdp.AutoMode)
		return forced(c, d, err, AFPacket)
	case AFPacket:
		d, err := openPacket(c, pools)
		return forced(c, d, err, AFXDP)
	case Auto, "":
		return best(c, pools)
	}
	return nil, nil, fmt.Errorf("auto: open %s: no driver %q", c.Interface, c.Driver)
}

// Choose says what Open would choose, by opening and closing. Traffic of the
// interface that goes through the kernel may stall for that moment.
func Choose(c Config) (driver string, _ []Candidate, err error) {
	const ring = 256 // buffers; nothing is received
	p, err := buf.NewPool(ring, 0)
	if err != nil {
		return "", nil, fmt.Errorf("auto: choose: %w", err)
	}
	defer func() { err = errors.Join(err, p.Arena().Close()) }()
	d, candidates, err := Open(c, []*buf.Pool{p})
	if err != nil {
		return "", candidates, err
	}
	for _, q := range d.Queues() {
		err = errors.Join(err, q.Close(p))
	}
	return d.Info().Driver, candidates, errors.Join(err, d.Close())
}

func openXDP(c Config, pools []*buf.Pool, mode afxdp.Mode) (drivers.Device, error) {
	d, err := afxdp.Open(c.xdp(mode), pools)
	if err != nil {
		return nil, err // and not a nil *afxdp.Device in an interface
	}
	return d, nil
}

func openPacket(c Config, pools []*buf.Pool) (drivers.Device, error) {
	d, err := afpacket.Open(afpacket.Config{Interface: c.Interface, NetNS: c.NetNS, Queues: len(pools)})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func forced(c Config, d drivers.Device, err error, other string) (drivers.Device, []Candidate, error) {
	candidates := []Candidate{
		{c.Driver, err == nil, "it was asked for"},
		{other, false, c.Driver + " was asked for"},
	}
	if err != nil {
		candidates[0].Reason = "it was asked for, but " + err.Error()
		return nil, candidates, fmt.Errorf("auto: %w", err)
	}
	return d, candidates, nil
}

func best(c Config, pools []*buf.Pool) (drivers.Device, []Candidate, error) {
	d, refused := openXDP(c, pools, afxdp.ZeroCopy)
	if refused == nil {
		return d, []Candidate{
			{AFXDP, true, "the NIC reads and writes packet memory without a copy"},
			{AFPacket, false, "it would copy every packet"},
		}, nil
	}
	candidates := []Candidate{
		{AFXDP, false, "it would not run without a copy, and with one it carries TCP slower: " + refused.Error()},
		{AFPacket, true, "it carries superpackets of 64 KiB whole"},
	}
	d, err := openPacket(c, pools)
	if err != nil {
		candidates[1] = Candidate{AFPacket, false, err.Error()}
		return nil, candidates, fmt.Errorf("auto: no driver for %s: %w", c.Interface, errors.Join(refused, err))
	}
	return d, candidates, nil
}
