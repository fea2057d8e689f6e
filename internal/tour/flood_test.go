package tour_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/internal/tour"
)

// garbage is how many frames come to each kind of device.
const garbage = 100_000

// Random frames at the uplink, the TAP and a TUN, one in three of them nothing
// but noise and the others nearly right: the daemon lives, no buffer is lost,
// what goes into a node comes out of it, and everybody reaches everybody.
func TestGarbage(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: driver}, nil)
			lab.Need(t, h.reachAll())
			c, err := h.Client(h.ctx)
			lab.Need(t, err)
			defer c.Close()
			before, pid := holdings(t, h.ctx, h.Tour, c), h.PID()
			mac := func(n *lab.Namespace, link string) string {
				l, err := n.Netlink().LinkByName(link)
				lab.Need(t, err)
				return l.Attrs().HardwareAddr.String()
			}
			us, router := mac(h.Node, lab.Uplink), mac(h.Router, "port1")
			for i, at := range []struct {
				n           *lab.Namespace
				link, link2 string // where, and the link header
			}{{h.Router, "port1", router + " > " + us + ": "}, {h.Node, lab.Uplink, us + " > " + router + ": "}, {h.PodA, "eth0", ""}} {
				seed := uint64(i + 1)
				t.Logf("%s: seed %d", at.link, seed)
				flood(h, at.n, at.link, garbage, garbler(t, seed, at.link2))
			}
			if now := h.PID(); now != pid {
				t.Errorf("the data plane was %d and is %d", pid, now)
			}
			lab.Need(t, h.reachAll())
			h.until("all buffers are back", func() error {
				now := holdings(t, h.ctx, h.Tour, c)
				// What an AF_XDP socket has sent comes back when it sends again.
				const ring = 64
				if over := int64(now.buffers - before.buffers); over < -ring || over > ring {
					return fmt.Errorf("before %+v, now %+v", before, now)
				}
				if now.buffers = before.buffers; now != before {
					return fmt.Errorf("before %+v, now %+v", before, now)
				}
				return nil
			})
			h.until("what goes in comes out", func() error { return conserved(h, c) })
		})
	}
}

// reachAll pings all ways that a tour has.
func (h *host) reachAll() error {
	for _, w := range h.Ways() {
		if err := w.From.Reaches(h.ctx, w.Addr, lab.Ping{Count: 2, Timeout: time.Second}); err != nil {
			if err = w.From.Reaches(h.ctx, w.Addr, lab.Ping{Timeout: soon}); err != nil {
				return err
			}
		}
	}
	return nil
}

// conserved reports whether each node has had as many packets as others have
// sent to it.
func conserved(h *host, c pb.SkeinClient) error {
	graph, err := c.GetGraph(h.ctx, &pb.GetGraphRequest{})
	if err != nil {
		return err
	}
	run, err := c.GetRuntime(h.ctx, &pb.GetRuntimeRequest{})
	if err != nil {
		return err
	}
	inflow := map[string]uint64{}
	for _, n := range graph.Nodes {
		for _, a := range n.Arcs {
			inflow[a.Node] += a.Packets
		}
	}
	had := map[string]uint64{}
	for _, w := range run.Workers {
		for _, n := range w.Nodes {
			had[n.Name] += n.Packets
		}
	}
	delete(had, "worker-input") // packets for a device come there by no arc
	for name, packets := range had {
		if in, leads := inflow[name]; leads && in != packets {
			return fmt.Errorf("%s has had %d packets, and %d were sent to it", name, packets, in)
		}
	}
	return nil
}

// flood sends frames by a packet socket, as many as the link takes.
func flood(h *host, n *lab.Namespace, link string, count int, next func() []byte) {
	h.t.Helper()
	var f *os.File
	lab.Need(h.t, n.Do(func() (err error) { f, err = rawSocket(link, false); return err }))
	defer f.Close()
	for range count {
		// What a link refuses for its length or because it is full is lost.
		if _, err := f.Write(next()); err != nil && !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINVAL) {
			h.t.Fatalf("%s: %v", link, err)
		}
	}
}

// plausible are packets that a flood begins with.
var plausible = []string{
	lab.PodAddr + " > " + lab.RemoteAddr + ": udp 1 > 53 len 30", lab.RemoteAddr + " > " + lab.PodAddr + ": tcp 80 > 2 flags SA len 700",
	lab.RemoteAddr + " > " + lab.NodeAddr + ": icmp echo-request id 1 seq 1", lab.PodAddr + " > 169.254.1.1: proto 17 mf len 800",
	lab.NodeAddr + " > " + lab.OtherPodAddr + ": icmp unreachable code 4",
	lab.PodAddr6 + " > " + lab.RemoteAddr6 + ": udp 1 > 53 len 30", lab.RemoteAddr6 + " > " + lab.PodAddr6 + ": tcp 80 > 2 flags SA len 700",
	lab.PodAddr6 + " > " + lab.OtherPodAddr6 + ": hbh dstopts frag 0 mf udp 1 > 2 len 700", lab.RemoteAddr6 + " > " + lab.NodeAddr6 + ": routing 4 icmp6 echo-request id 1 seq 1",
	"fe80::77 > ff02::1: icmp6 router-solicit", "fe80::77 > ff02::1:ff00:2: icmp6 neighbor-solicit " + lab.PodAddr6 + " lladdr 02:00:00:00:00:77",
	"fe80::77 > ff02::1: icmp6 neighbor-advert fe80::77 flags O lladdr 02:00:00:00:00:77",
	lab.PodAddr6 + " > " + lab.GatewayAddr6 + ": icmp6 time-exceeded",
}

// garbler returns frames with a link header, or packets without.
func garbler(t *testing.T, seed uint64, link string) func() []byte {
	t.Helper()
	var lines [][]byte
	for _, s := range plausible {
		p, err := pktline.Parse(link + s)
		lab.Need(t, err)
		lines = append(lines, p)
	}
	rnd := rand.New(rand.NewPCG(seed, 4))
	return func() []byte {
		if rnd.IntN(3) == 0 {
			return noise(rnd)
		}
		p := append([]byte(nil), lines[rnd.IntN(len(lines))]...)
		for range 1 + rnd.IntN(3) {
			at := rnd.IntN(len(p))
			if link != "" && rnd.IntN(2) == 0 {
				at = 12 + rnd.IntN(len(p)-12) // the addresses of the link stay
			}
			p[at] ^= 1 << rnd.IntN(8)
		}
		return p[:len(p)-rnd.IntN(2)*rnd.IntN(len(p)-14)]
	}
}

// noise is bytes, which sometimes say a version of IP where a TUN looks for it.
func noise(rnd *rand.Rand) []byte {
	p := make([]byte, 14+rnd.IntN(200))
	for i := 0; i+8 <= len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rnd.Uint64())
	}
	p[0] = []byte{0x45, 0x60, p[0]}[rnd.IntN(3)]
	return p
}

// What a pod tells about neighbours and routers is not believed: it is dropped,
// counted, and a trace says why. Nor does it come through behind hop-by-hop
// options, of which a flood costs no more than other packets.
func TestSpoofedDiscovery(t *testing.T) {
	const count = 400 // of each: what a TUN holds back at least, so that none is lost before
	h := startHost(t, tour.Options{Driver: "af_packet"}, nil)
	lab.Need(t, h.reachAll())
	h.skeinctl("trace", "add", "tun0", "5")
	for _, x := range []struct{ line, reason string }{
		{"fe80::1 > ff02::1: icmp6 neighbor-advert " + lab.GatewayAddr6 + " flags O lladdr 02:00:00:00:00:66", "neighbour discovery from a pod"},
		{lab.PodAddr6 + " > " + lab.NodeAddr6 + ": icmp6 neighbor-advert " + lab.GatewayAddr6 + " flags SO lladdr 02:00:00:00:00:66", "neighbour discovery from a pod"},
		{"fe80::1 > ff02::1: icmp6 router-advert", "neighbour discovery from a pod"},
		{lab.PodAddr6 + " > ff02::16: hbh icmp6 type 143", "multicast listener discovery from a pod"},
		{lab.PodAddr6 + " > ff02::1: hbh udp 1 > 2", "ip6 multicast is not routed"},
	} {
		before := h.lost(x.reason)
		p, err := pktline.Parse(x.line)
		lab.Need(t, err)
		flood(h, h.PodA, "eth0", count, func() []byte { return p })
		h.until(x.line, func() error {
			if n := h.lost(x.reason) - before; n < count {
				return fmt.Errorf("%d of %d packets are counted as %q", n, count, x.reason)
			}
			return nil
		})
	}
	h.shows(func() string { return h.skeinctl("show", "errors") }, "neighbour discovery from a pod")
	h.shows(func() string { return h.skeinctl("show", "trace") }, "neighbour discovery from a pod")
	if now := h.skeinctl("show", "ip6", "neighbors"); strings.Contains(now, "02:00:00:00:00:66") {
		t.Errorf("a pod was believed:\n%s", now)
	}
	options, err := pktline.Parse(lab.PodAddr6 + " > " + lab.RemoteAddr6 + ": hbh udp 1 > 2")
	lab.Need(t, err)
	flood(h, h.PodA, "eth0", garbage/4, func() []byte { return options })
	lab.Need(t, h.reachAll())
}

// Somebody on the link scans the node's /64, and so does a pod: what waits for
// an answer stays bounded, and neighbours that are there are reached all the
// while, also one that was not known before (RFC 6583).
func TestScan(t *testing.T) {
	h := startHost(t, tour.Options{Driver: "af_packet"}, nil)
	h.ip(h.Router, "addr add 2001:db8::77/64 dev lan nodad", "addr add 10.0.0.77/24 dev lan")
	lab.Need(t, h.reachAll())
	for i, prefix := range []string{"2001:db8::5:0", "10.0.0.128"} {
		base := netip.MustParseAddr(prefix).AsSlice()
		from, known, fresh := []string{lab.PodAddr6, lab.PodAddr}[i], []string{lab.RemoteAddr6, lab.RemoteAddr}[i], []string{"2001:db8::77", "10.0.0.77"}[i]
		n := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			flood(h, h.PodA, "eth0", 20_000, func() []byte {
				n++
				if base[len(base)-1]++; len(base) == 16 {
					binary.BigEndian.PutUint16(base[14:], uint16(n))
				} else {
					base[3] = 128 + byte(n%100)
				}
				to, _ := netip.AddrFromSlice(base)
				p, err := pktline.Parse(from + " > " + to.String() + ": udp 1 > 2")
				lab.Need(t, err)
				return p
			})
		}()
		h.reaches("a neighbour's network while a pod scans", h.PodA, known)
		h.reaches("a neighbour that was not known while a pod scans", h.PodA, fresh)
		h.reaches("the world from the host meanwhile", h.Node, known)
		<-done
		h.reaches("the world after the scan", h.PodA, known)
	}
	for _, reason := range []string{"nd too many unresolved next hops", "arp too many unresolved next hops"} {
		t.Logf("%d packets: %s", h.lost(reason), reason)
	}
	if h.lost("nd too many unresolved next hops") == 0 {
		t.Error("the scan was not bounded")
	}
}

// skeinctl runs the CLI at the node.
func (h *host) skeinctl(words ...string) string {
	h.t.Helper()
	out, err := h.Node.Exec(h.ctx, bin+"/skeinctl", append([]string{"--socket", h.Socket}, words...)...)
	if err != nil {
		h.t.Fatalf("skeinctl %v: %v\n%s", words, err, out)
	}
	return string(out)
}

// lost returns how many packets have ended for a reason.
func (h *host) lost(reason string) (n uint64) {
	h.t.Helper()
	c, err := h.Client(h.ctx)
	lab.Need(h.t, err)
	defer c.Close()
	all, err := c.GetErrors(h.ctx, &pb.GetErrorsRequest{})
	lab.Need(h.t, err)
	for _, e := range all.Errors {
		if e.Reason == reason {
			n += e.Count
		}
	}
	return n
}
