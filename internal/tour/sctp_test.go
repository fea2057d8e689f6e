package tour_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// SCTP is spoken here by raw sockets, as many kernels have no other for it: an
// INIT, and an INIT ACK with a state cookie (RFC 9260, sections 3.3.2 and 3.3.3)
// that says who has answered, and as whom it has seen the asker.

// An sctpEnd is a raw socket, which gets all that comes for SCTP.
type sctpEnd struct{ conn *net.IPConn }

func openSCTP(t *testing.T, n *lab.Namespace, v6 bool) sctpEnd {
	t.Helper()
	network := "ip4:132"
	if v6 {
		network = "ip6:132"
	}
	var conn *net.IPConn
	err := n.Do(func() (err error) { conn, err = net.ListenIP(network, nil); return err })
	lab.Need(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return sctpEnd{conn}
}

const (
	sctpTag      = 7 // everybody's initiate tag, which is never 0
	sctpInit     = 1
	sctpInitAck  = 2
	sctpInitLen  = 20 // of both, in bytes, before their parameters
	sctpHeader   = 12 // ports, verification tag, checksum
	sctpCookie   = 7  // a parameter of INIT ACK
	sctpChecksum = 8  // where it stands in the header
)

// send sends a packet with one chunk, with its checksum.
func (s sctpEnd) send(to netip.Addr, sport, dport uint16, chunk uint8, cookie string) error {
	p := make([]byte, sctpHeader+sctpInitLen)
	binary.BigEndian.PutUint16(p, sport)
	binary.BigEndian.PutUint16(p[2:], dport)
	p[sctpHeader] = chunk
	if chunk == sctpInitAck {
		binary.BigEndian.PutUint32(p[4:], sctpTag) // who has sent the INIT wants it back (section 8.5)
	}
	binary.BigEndian.PutUint32(p[sctpHeader+4:], sctpTag)
	if cookie != "" {
		p = binary.BigEndian.AppendUint16(p, sctpCookie)
		p = binary.BigEndian.AppendUint16(p, uint16(4+len(cookie)))
		p = append(p, cookie...)
	}
	binary.BigEndian.PutUint16(p[sctpHeader+2:], uint16(len(p)-sctpHeader))
	for len(p)%4 != 0 {
		p = append(p, 0)
	}
	binary.LittleEndian.PutUint32(p[sctpChecksum:], sctpSum(p)) // RFC 9260, appendix A
	_, err := s.conn.WriteToIP(p, &net.IPAddr{IP: to.AsSlice()})
	return err
}

// sctpSum returns the CRC32c of a packet whose checksum counts as zeros.
func sctpSum(p []byte) uint32 {
	c := append([]byte(nil), p...)
	clear(c[sctpChecksum:sctpHeader])
	return crc32.Checksum(c, crc32.MakeTable(crc32.Castagnoli))
}

// read returns the next packet with such a chunk whose checksum is right.
func (s sctpEnd) read(chunk uint8) (from netip.Addr, sport, dport uint16, cookie string, err error) {
	room := make([]byte, 2048)
	for {
		n, a, err := s.conn.ReadFromIP(room)
		if err != nil {
			return from, 0, 0, "", err
		}
		p := room[:n]
		if n < sctpHeader+sctpInitLen || p[sctpHeader] != chunk {
			continue
		}
		from, _ = netip.AddrFromSlice(a.IP)
		from = from.Unmap()
		if got, want := binary.LittleEndian.Uint32(p[sctpChecksum:]), sctpSum(p); got != want {
			return from, 0, 0, "", fmt.Errorf("an SCTP packet from %v with checksum %08x and not %08x", from, got, want)
		}
		if end := int(binary.BigEndian.Uint16(p[sctpHeader+2:])) + sctpHeader; end <= n && end > sctpHeader+sctpInitLen+4 {
			cookie = string(p[sctpHeader+sctpInitLen+4 : end])
		}
		return from, binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), cookie, nil
	}
}

// serve answers at a port: who it is, and from where it was asked.
func (s sctpEnd) serve(t *testing.T, name string, port uint16) {
	go func() {
		for {
			from, sport, dport, _, err := s.read(sctpInit)
			if sport == 0 {
				if from.IsValid() {
					t.Errorf("%s: %v", name, err)
				}
				return // closed
			}
			if dport == port {
				_ = s.send(from, dport, sport, sctpInitAck, fmt.Sprintf("%s %s port %d", name, from, sport))
			}
		}
	}()
}

// ask returns what answers at an address, from a port.
func (s sctpEnd) ask(at netip.AddrPort, sport uint16) (string, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	if err := s.send(at.Addr(), sport, at.Port(), sctpInit, ""); err != nil {
		return "", err
	}
	for {
		from, port, to, cookie, err := s.read(sctpInitAck)
		if err != nil {
			return "", err
		}
		if to == sport { // the socket gets all there is
			if from != at.Addr() || port != at.Port() {
				return "", fmt.Errorf("%v port %d answers for %v", from, port, at)
			}
			return cookie, nil
		}
	}
}

// SCTP by ClusterIP, NodePort, source NAT and a mapping, in both families, with
// checksums that are right at both ends, and two pods with the same port.
func TestSCTP(t *testing.T) {
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, twoFamilies("signals", "10.96.0.1", "2001:db8:96::1",
		"  type: NodePort\n  ports: [{name: s, protocol: SCTP, port: 38412, nodePort: 30412}]", here, here6, 9000)+
		twoFamilies("away", "10.96.0.2", "2001:db8:96::2", "  type: NodePort\n  ports: [{name: s, protocol: SCTP, port: 38412, nodePort: 30413}]", there, there6, 9000))
	c := w.client(t)
	for _, f := range []struct{ vip, away, node, pod, other, remote, external string }{
		{"10.96.0.1", "10.96.0.2", lab.NodeAddr, lab.PodAddr, lab.OtherPodAddr, lab.RemoteAddr, "10.0.0.77"},
		{"2001:db8:96::1", "2001:db8:96::2", lab.NodeAddr6, lab.PodAddr6, lab.OtherPodAddr6, lab.RemoteAddr6, "2001:db8::77"},
	} {
		t.Run(familyOf(f.vip), func(t *testing.T) {
			v6 := familyOf(f.vip) == "IPv6"
			a, b, remote, second := openSCTP(t, w.PodA, v6), openSCTP(t, w.PodB, v6), openSCTP(t, w.Remote, v6), openSCTP(t, w.Second, v6)
			_, err := c.ChangeNAT(w.ctx, &skeinpb.ChangeNATRequest{What: &skeinpb.ChangeNATRequest_Static{
				Static: "sctp local " + f.other + " 9000 external " + f.external + " 38412"}})
			lab.Need(t, err)
			servers := map[string]sctpEnd{"b": openSCTP(t, w.PodB, v6), "remote": openSCTP(t, w.Remote, v6), "second": second}
			for name, s := range servers {
				s.serve(t, name, 9000)
			}
			for _, x := range []struct {
				what  string
				from  sctpEnd
				at    string
				port  uint16
				sport uint16
				want  string // "" for the port: another one
			}{
				{"ClusterIP", a, f.vip, 38412, 5000, "b " + f.pod + " port 5000"},
				{"ClusterIP to another node", a, f.away, 38412, 5001, "second " + f.pod + " port 5001"},
				{"ClusterIP to itself (hairpin)", b, f.vip, 38412, 5002, "b " + f.node + " port 5002"},
				{"NodePort", remote, f.node, 30412, 5003, "b " + f.remote + " port 5003"},
				{"NodePort to another node", remote, f.node, 30413, 5004, "second " + f.node + " port 5004"},
				{"source NAT", a, f.remote, 9000, 5005, "remote " + f.node + " port 5005"},
				{"mapping", remote, f.external, 38412, 5006, "b " + f.remote + " port 5006"},
			} {
				at := netip.AddrPortFrom(netip.MustParseAddr(x.at), x.port)
				if got, err := x.from.ask(at, x.sport); err != nil || got != x.want {
					t.Errorf("%s: %q, %v; want %q", x.what, got, err, x.want)
				}
			}
			// Two pods with the same port: the later one gets another, and its checksum
			// fits it.
			got, err := b.ask(netip.AddrPortFrom(netip.MustParseAddr(f.remote), 9000), 5005)
			var port int
			if _, e := fmt.Sscanf(got, "remote "+f.node+" port %d", &port); err != nil || e != nil || port == 5005 {
				t.Errorf("a second pod with the port of another: %q, %v", got, err)
			}
		})
	}
	m, err := c.ListSessions(w.ctx, &skeinpb.ListSessionsRequest{Filter: &skeinpb.SessionFilter{Protocol: "sctp"}})
	lab.Need(t, err)
	if got, err := m.Recv(); err != nil || len(got.Sessions) < 16 {
		t.Errorf("sessions of protocol %d: %v, %v", hdr.ProtoSCTP, got, err)
	}
}
