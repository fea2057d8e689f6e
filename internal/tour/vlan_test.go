package tour_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// VLANs of the host on its TAP, single and stacked, with the host's own stack
// and the router's at the ends.
func TestVLAN(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: driver}, func(h *host) {
				if driver == "af_xdp" {
					// XDP does not see a tag that the sender has put beside the frame.
					if err := h.Router.Offload(h.ctx, "port1", false, "tx-vlan-hw-insert", "tx-vlan-stag-hw-insert"); err != nil {
						t.Fatal(err)
					}
				}
			})
			for _, v := range []struct {
				name, net, net6 string
				tags            []byte
			}{
				{"v100", "10.100.0.", "2001:db8:64::", []byte{0x81, 0x00, 0, 100}},
				{"v7", "10.101.0.", "2001:db8:65::", []byte{0x88, 0xa8, 0, 101, 0x81, 0x00, 0, 7}},
			} {
				addVLAN(h, h.Node, lab.Uplink, v.name, v.tags, v.net+"21/24", v.net6+"21/64")
				addVLAN(h, h.Router, "lan", v.name, v.tags, v.net+"254/24", v.net6+"254/64")
				for _, f := range families {
					crossVLAN(h, f, f.named(v.net, v.net6), v.tags)
				}
			}
			for _, f := range families {
				h.reaches("the router without VLAN", h.Node, f.gateway)
				superVLAN(h, f)
			}
		})
	}
}

func crossVLAN(h *host, f family, network string, tags []byte) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Second)
	defer cancel()
	h.reaches("the router in the VLAN", h.Node, network+"254")
	h.reaches("the host in the VLAN", h.Router, network+"21")
	if err := h.Node.Reaches(h.ctx, network+"254", lab.Ping{Size: vlanMTU(tags) - f.headers, DF: true}); err != nil {
		h.t.Errorf("a packet as large as the MTU: %v", err)
	}
	for _, way := range []struct {
		from, to *lab.Namespace
		addr     string
	}{{h.Node, h.Router, "254"}, {h.Router, h.Node, "21"}} {
		to := netip.AddrPortFrom(netip.MustParseAddr(network+way.addr), 0)
		if _, err := (lab.Transfer{From: way.from, To: way.to, Addr: to, Bytes: 4 << 20}).Run(ctx); err != nil {
			h.t.Errorf("TCP to %s: %v", to, err)
		}
	}
}

// superVLAN sends one superpacket with a tag by the TAP, as the host's stack
// does for TCP over a VLAN interface, and counts its bytes at the router.
func superVLAN(h *host, f family) {
	h.t.Helper()
	var tx, rx *os.File
	var nic *net.Interface
	err := h.Node.Do(func() (err error) {
		if nic, err = net.InterfaceByName(lab.Uplink); err == nil {
			tx, err = rawSocket(lab.Uplink, true)
		}
		return err
	})
	if err == nil {
		err = h.Router.Do(func() (err error) { rx, err = rawSocket("port1", true); return err })
	}
	if err != nil {
		h.t.Fatal(err)
	}
	defer tx.Close()
	defer rx.Close()
	const size, payload = 1400, 20000
	frame, tag, headers := f.superFrame(hdr.MAC(nic.HardwareAddr), size, payload)
	if _, err := tx.Write(frame); err != nil {
		h.t.Fatal(err)
	}
	if err := rx.SetReadDeadline(time.Now().Add(soon)); err != nil {
		h.t.Fatal(err)
	}
	for got := 0; got < payload; {
		frame, err := receive(rx, vnetLen)
		if err != nil {
			h.t.Fatalf("%s: %d bytes of %d have arrived: %v", f.name, got, payload, err)
		}
		if len(frame) > headers && bytes.Equal(frame[12:18], tag) {
			seq := int((*hdr.TCP)(frame[headers-hdr.TCPLen:]).Seq())
			if want := superPayload(payload)[seq-1:][:len(frame)-headers]; !bytes.Equal(frame[headers:], want) {
				h.t.Fatalf("%s: the segment at %d has another content", f.name, seq)
			}
			got += len(frame) - headers
		}
	}
}

// vnetLen is the length of struct virtio_net_hdr, in bytes.
const vnetLen = 10

func superPayload(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

// superFrame returns a TCP superpacket in VLAN 200 behind a virtio-net header,
// the tag by which it is known with the type behind it, and the length of the
// headers.
func (f family) superFrame(src hdr.MAC, size, payload int) (frame, tag []byte, headers int) {
	const link = 18                                      // bytes, with the tag
	ip, gso, etype := hdr.IPv4Len, byte(1), hdr.TypeIPv4 // VIRTIO_NET_HDR_GSO_TCPV4
	if f.ip == "-6" {
		ip, gso, etype = hdr.IPv6Len, 4, hdr.TypeIPv6 // VIRTIO_NET_HDR_GSO_TCPV6
	}
	l4 := link + ip
	headers = l4 + hdr.TCPLen
	order := binary.NativeEndian
	frame = make([]byte, vnetLen+headers, vnetLen+headers+payload)
	frame[0], frame[1] = 1, gso // VIRTIO_NET_HDR_F_NEEDS_CSUM
	order.PutUint16(frame[2:], uint16(headers))
	order.PutUint16(frame[4:], uint16(size))
	order.PutUint16(frame[6:], uint16(l4)) // where TCP begins
	order.PutUint16(frame[8:], 16)         // where in it the checksum is
	p := frame[vnetLen:]
	(*hdr.Ether)(p).Fill(hdr.MAC{2, 0, 0, 0, 0, 0x99}, src, hdr.TypeVLAN)
	binary.BigEndian.PutUint16(p[14:], 200)
	binary.BigEndian.PutUint16(p[16:], uint16(etype))
	copy(p[l4:], []byte{0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff})
	binary.BigEndian.PutUint16(p[l4+16:], f.superIP(p[link:], hdr.TCPLen+payload))
	return append(frame, superPayload(payload)...), bytes.Clone(p[12:18]), headers
}

// superIP fills the IP header of a superpacket with n bytes of TCP, and returns
// the sum over the pseudo-header that goes into the latter.
func (f family) superIP(p []byte, n int) uint16 {
	if f.ip == "-6" {
		ip := (*hdr.IPv6)(p)
		*ip = hdr.IPv6{0: 0x60, 6: hdr.ProtoTCP, 7: 64}
		ip.SetPayloadLen(n)
		ip.SetSrc(hdr.Addr6From(netip.MustParseAddr("2001:db8:c8::21")))
		ip.SetDst(hdr.Addr6From(netip.MustParseAddr("2001:db8:c8::fe")))
		return ip.PseudoSum(hdr.ProtoTCP, n)
	}
	ip := (*hdr.IPv4)(p)
	*ip = hdr.IPv4{0: 0x45, 5: 1, 6: 0x40, 8: 64, 9: hdr.ProtoTCP}
	ip.SetLen(hdr.IPv4Len + n)
	ip.SetSrc(hdr.Addr4From(netip.MustParseAddr("10.200.0.21")))
	ip.SetDst(hdr.Addr4From(netip.MustParseAddr("10.200.0.254")))
	ip.SetChecksum(hdr.Checksum(ip[:]))
	return ip.PseudoSum(n)
}

// Interfaces on top of the uplink, VLANs among them, would be lost with the
// move: they are refused, and nothing has changed.
func TestChildRefused(t *testing.T) {
	h := &host{newTour(t, tour.Options{}), t, t.Context()}
	h.ip(h.Node, "link add link enp0s3 name child type macvlan")
	before := hostView(t, h.ctx, h.Node)
	if err := h.Start(h.ctx); err == nil || !strings.Contains(err.Error(), "the macvlan interface child") {
		t.Errorf("started on an uplink with a macvlan on top: %v", err)
	}
	if after := hostView(t, h.ctx, h.Node); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
