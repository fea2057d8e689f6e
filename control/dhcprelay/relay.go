// Package dhcprelay answers one question: how does a pod with an Ethernet
// device reach a DHCP server?
//
// What the runtime's DHCP client broadcasts on the pod's device is relayed to
// one server, and its answers back (RFC 2131; RFC 1542, section 4). Skein routes
// pods, and broadcasts nothing beyond a device, so without a relay nobody would
// hear it. It is for CNI's dhcp plugin, which has no DHCPv6; the packets pass
// here and not through the graph.
//
// A pod is not trusted: only what has its own link address, one client
// identifier and a bounded rate gets through, and only answers to what it has
// asked last. Maturity: new.
package dhcprelay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/hdr"
)

// Config says between whom to relay.
type Config struct {
	Server netip.Addr // IPv4, of another machine
	// Subnet is what the server is asked to assign from; the zero Addr: it goes
	// by the node's address.
	Subnet netip.Addr
	// MAC is what answers come from on pods' devices.
	MAC hdr.MAC
}

// A Relay serves the devices that it has been given.
type Relay struct {
	cfg Config
	log *zap.Logger

	mu    sync.Mutex // guards the rest
	links map[string]*link
	up    *upstream // nil until somebody asks
	stray uint64    // messages from the server that nobody waits for
}

// An upstream is the socket towards the server, at the node's address.
type upstream struct {
	conn *net.UDPConn
	addr netip.Addr
}

// New makes a relay. It opens nothing before there is a device.
func New(cfg Config, log *zap.Logger) *Relay {
	return &Relay{cfg: cfg, log: log, links: map[string]*link{}}
}

// Add serves a pod's device by the host's side of its veth pair, an interface
// of the process's namespace that is up; mac is the pod's.
func (r *Relay) Add(name string, mac hdr.MAC) error {
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("dhcprelay: %s: %w", name, err)
	}
	file, err := openLink(nic.Index)
	if err != nil {
		return fmt.Errorf("dhcprelay: %s: %w", name, err)
	}
	l := &link{name: name, mac: mac, file: file, tokens: burst, filled: time.Now()}
	r.Remove(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[name] = l
	go r.listen(l)
	return nil
}

// Remove ends the service of a device. One that is not served is no error.
func (r *Relay) Remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.links[name]; l != nil {
		delete(r.links, name)
		_ = l.file.Close() // which ends its reader
	}
}

// Close ends the service of all.
func (r *Relay) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, l := range r.links {
		delete(r.links, name)
		_ = l.file.Close()
	}
	r.hangUp()
}

// hangUp closes the socket towards the server. r.mu is held.
func (r *Relay) hangUp() {
	if r.up != nil {
		_ = r.up.conn.Close()
		r.up = nil
	}
}

// listen relays what a pod asks, until its device is gone.
func (r *Relay) listen(l *link) {
	in := make([]byte, headersLen+maxLen+1)
	for {
		n, err := l.file.Read(in)
		switch {
		case errors.Is(err, unix.ENETDOWN): // for a moment, or until Remove
			continue
		case err != nil:
			if !errors.Is(err, os.ErrClosed) {
				r.log.Warn("a pod's DHCP is no longer relayed", zap.String("interface", l.name), zap.Error(err))
			}
			return
		}
		r.take(l, payload(in[:n]))
	}
}

// take relays a client's question, and counts and tells how that went.
func (r *Relay) take(l *link, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.forward(l, b)
	l.count(err)
	switch at := zap.String("interface", l.name); {
	case errors.Is(err, errUnsent):
		r.log.Warn("DHCP from a pod", at, zap.Stringer("server", r.cfg.Server), zap.Error(err))
	case err != nil:
		r.log.Debug("DHCP from a pod", at, zap.Error(err))
	}
}

// errTooMany marks questions beyond a pod's rate.
var errTooMany = errors.New("too many questions")

// forward sends a client's question to the server (RFC 1542, section 4.1.1). r.mu
// is held.
func (r *Relay) forward(l *link, b []byte) error {
	if !l.mayAsk(time.Now()) {
		return errTooMany
	}
	m, err := parse(b)
	if err != nil {
		return err
	}
	if err := l.accept(m); err != nil {
		return err
	}
	up, err := r.dial()
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	m.setHops(1)
	m.setGI(up.addr)
	if r.cfg.Subnet.IsValid() {
		var ok bool
		if m, ok = m.with(optRelay, append([]byte{subLinkRange, 4}, r.cfg.Subnet.AsSlice()...)); !ok {
			return errors.New("no room for the relay's option")
		}
	}
	l.asked = m.xid()
	if _, err := up.conn.WriteToUDPAddrPort(m, netip.AddrPortFrom(r.cfg.Server, serverPort)); err != nil {
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	return nil
}

// dial returns the socket at the address that the node has towards the server:
// servers answer there (RFC 2131, section 4.1). r.mu is held.
func (r *Relay) dial() (*upstream, error) {
	probe, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.cfg.Server, serverPort)))
	if err != nil {
		return nil, err
	}
	here := probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	_ = probe.Close() // nothing was sent
	if here == r.cfg.Server {
		return nil, errors.New("it is this node, which relays")
	}
	if r.up != nil && r.up.addr == here {
		return r.up, nil
	}
	r.hangUp()
	conn, err := listenAt(here)
	if err != nil {
		return nil, err
	}
	r.up = &upstream{conn, here}
	go r.answers(r.up)
	return r.up, nil
}

// answers relays what the server says, until the socket is closed.
func (r *Relay) answers(up *upstream) {
	in := make([]byte, maxLen+1)
	for {
		n, from, err := up.conn.ReadFromUDPAddrPort(in)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || from.Addr() != r.cfg.Server || from.Port() != serverPort {
			continue // an ICMP error about a question, or somebody else
		}
		if err := r.back(up, in[:n]); err != nil {
			r.log.Debug("DHCP from the server", zap.Error(err))
		}
	}
}

// back sends a server's answer to the client that has asked (RFC 1542, section
// 4.1.2).
func (r *Relay) back(up *upstream, b []byte) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		if err != nil {
			r.stray++
		}
	}()
	m, err := parse(b)
	if err != nil {
		return err
	}
	if m.op() != bootReply || m.giaddr() != up.addr {
		return errors.New("not an answer to this relay")
	}
	for _, l := range r.links {
		if l.mac == m.chaddr() && l.asked == m.xid() {
			m = m.without(optRelay) // RFC 3046, section 2.1
			if _, err := l.file.Write(r.flight(up.addr, m).frame(m)); err != nil {
				return err
			}
			l.Answered++
			return nil
		}
	}
	return errors.New("nobody has asked")
}

func (r *Relay) flight(from netip.Addr, m message) flight {
	f := flight{srcMAC: r.cfg.MAC, dstMAC: m.chaddr(), src: from, dst: m.yiaddr()}
	if m.broadcast() {
		f.dstMAC = hdr.BroadcastMAC
	}
	if m.broadcast() || f.dst.IsUnspecified() {
		f.dst = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	return f
}
