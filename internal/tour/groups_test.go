package tour_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// What is for groups, and all that is IPv6, crosses between the host and its
// link both ways, and nothing is changed in it.
func TestGroups(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: driver}, nil)
			frames(h)
			// Neighbour discovery is asked by multicast (RFC 4861, section 7.2.2).
			h.ip(h.Node, "-6 neigh flush dev enp0s3")
			h.ip(h.Router, "-6 neigh flush dev lan")
			h.reaches("the router by IPv6", h.Node, lab.GatewayAddr6)
			h.reaches("the remote host by IPv6", h.Node, lab.RemoteAddr6)
			h.reaches("the host by IPv6", h.Remote, lab.NodeAddr6)
			advertise(h)
			autoconfigured(h)
		})
	}
}

// frames sends one frame to each kind of group, from both sides.
func frames(h *host) {
	h.t.Helper()
	node, router := socketAt(h, h.Node, lab.Uplink), socketAt(h, h.Router, "port1")
	for n, dst := range []string{
		"ff:ff:ff:ff:ff:ff",
		"01:00:5e:00:00:fb", // IPv4 multicast (RFC 1112, section 6.4)
		"33:33:ff:00:00:21", // IPv6 solicited-node multicast (RFC 2464, section 7)
		"33:33:00:00:00:16", // MLDv2 reports (RFC 3810, section 5.2.14)
		"01:80:c2:00:00:0e", // LLDP
	} {
		for _, way := range []struct{ from, to *os.File }{{node, router}, {router, node}} {
			mac, err := net.ParseMAC(dst)
			if err != nil {
				h.t.Fatal(err)
			}
			frame := append(append(mac, 2, 0, 0, 0, 0x99, byte(n)), 0x88, 0xb5) // IEEE 802: local experiments
			frame = append(frame, fmt.Sprintf("%-50s", dst)...)
			if _, err := way.from.Write(frame); err != nil {
				h.t.Fatal(err)
			}
			h.arrives(way.to, frame)
		}
	}
}

func socketAt(h *host, n *lab.Namespace, link string) (f *os.File) {
	h.t.Helper()
	if err := n.Do(func() (err error) { f, err = rawSocket(link, false); return err }); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = f.Close() })
	return f
}

// arrives waits for a frame.
func (h *host) arrives(at *os.File, want []byte) {
	h.t.Helper()
	if err := at.SetReadDeadline(time.Now().Add(soon)); err != nil {
		h.t.Fatal(err)
	}
	for {
		frame, err := receive(at, 0)
		if err != nil {
			h.t.Errorf("has not come to %s: % x", at.Name(), want)
			return
		}
		if bytes.Equal(frame, want) {
			return
		}
	}
}

// advertise sends a router advertisement, as the LAN's router would (RFC 4861,
// section 4.2).
func advertise(h *host) {
	h.t.Helper()
	prefix := make([]byte, 30) // RFC 4861, section 4.6.2, behind type and length
	prefix[0], prefix[1] = 64, 0xc0
	binary.BigEndian.PutUint32(prefix[2:], 3600)
	binary.BigEndian.PutUint32(prefix[6:], 1800)
	copy(prefix[14:], netip.MustParseAddr("2001:db8:5::").AsSlice())
	src := net.HardwareAddr{2, 0, 0, 0, 0, 0x98}
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP("fe80::98"), DstIP: net.ParseIP("ff02::1")}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterAdvertisement, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	out := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: src, DstMAC: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv6}, ip, icmp,
		&layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 0,
			Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptPrefixInfo, Data: prefix}}})
	if err == nil {
		_, err = socketAt(h, h.Router, "port1").Write(out.Bytes())
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// autoconfigured waits for the address that the host makes of it (RFC 4862),
// and looks whether it is kept when the uplink is given back.
func autoconfigured(h *host) {
	h.t.Helper()
	addrs := func() string { return h.tap("-6", "addr", "show") }
	h.shows(addrs, "inet6 2001:db8:5:")
	h.shows(h.Log, "add addr 2001:db8:5:")
	if err := h.Stop(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	h.shows(addrs, "inet6 2001:db8:5:")
}
