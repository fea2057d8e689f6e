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
				name, net string
				tags      []byte
			}{
				{"v100", "10.100.0.", []byte{0x81, 0x00, 0, 100}},
				{"v7", "10.101.0.", []byte{0x88, 0xa8, 0, 101, 0x81, 0x00, 0, 7}},
			} {
				addVLAN(h, h.Node, lab.Uplink, v.name, v.net+"21/24", v.tags...)
				addVLAN(h, h.Router, "lan", v.name, v.net+"254/24", v.tags...)
				crossVLAN(h, v.net, v.tags)
			}
			h.reaches("the router without VLAN", h.Node, lab.GatewayAddr)
			superVLAN(h)
		})
	}
}

func crossVLAN(h *host, network string, tags []byte) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, 10*time.Second)
	defer cancel()
	h.reaches("the router in the VLAN", h.Node, network+"254")
	h.reaches("the host in the VLAN", h.Router, network+"21")
	if err := h.Node.Reaches(h.ctx, network+"254", lab.Ping{Size: vlanMTU(tags) - 28, DF: true}); err != nil {
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
func superVLAN(h *host) {
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
	if _, err := tx.Write(superFrame(hdr.MAC(nic.HardwareAddr), size, payload)); err != nil {
		h.t.Fatal(err)
	}
	if err := rx.SetReadDeadline(time.Now().Add(soon)); err != nil {
		h.t.Fatal(err)
	}
	tag := []byte{0x81, 0x00, 0, 200, 0x08, 0x00}
	for got := 0; got < payload; {
		frame, err := receive(rx, vnetLen)
		if err != nil {
			h.t.Fatalf("%d bytes of %d have arrived: %v", got, payload, err)
		}
		if len(frame) > 58 && bytes.Equal(frame[12:18], tag) {
			seq := int((*hdr.TCP)(frame[38:]).Seq())
			if want := superPayload(payload)[seq-1:][:len(frame)-58]; !bytes.Equal(frame[58:], want) {
				h.t.Fatalf("the segment at %d has another content", seq)
			}
			got += len(frame) - 58
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

// superFrame returns a TCP superpacket in VLAN 200 behind a virtio-net header.
func superFrame(src hdr.MAC, size, payload int) []byte {
	order := binary.NativeEndian
	f := make([]byte, vnetLen+58, vnetLen+58+payload)
	f[0], f[1] = 1, 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4
	order.PutUint16(f[2:], 58)
	order.PutUint16(f[4:], uint16(size))
	order.PutUint16(f[6:], 38) // where TCP begins
	order.PutUint16(f[8:], 16) // where in it the checksum is
	p := f[vnetLen:]
	(*hdr.Ether)(p).Fill(hdr.MAC{2, 0, 0, 0, 0, 0x99}, src, hdr.TypeVLAN)
	copy(p[14:], []byte{0, 200, 0x08, 0x00})
	copy(p[18:], []byte{0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 200, 0, 21, 10, 200, 0, 254})
	ip := (*hdr.IPv4)(p[18:])
	ip.SetLen(40 + payload)
	ip.SetChecksum(hdr.Checksum(p[18:38]))
	copy(p[38:], []byte{0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff})
	binary.BigEndian.PutUint16(p[54:], ip.PseudoSum(20+payload))
	return append(f, superPayload(payload)...)
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
