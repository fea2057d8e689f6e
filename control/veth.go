package control

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/afpacket"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/tuntap"
)

// Pods that need an Ethernet device: a veth pair, with a packet socket on the
// host's side. Skein is the only other station on it.

// gatewayMAC is Skein's link address towards a pod, the same on all, as Calico
// has it. The host's side of the pair has another, so that the host's stack
// takes what is sent to it for somebody else's.
var gatewayMAC = hdr.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}

// podGateways are the next hops of a pod with an Ethernet device: 169.254.1.1,
// as Calico has it, and the link-local address that gatewayMAC makes.
func podGateways() (v4, v6 netip.Addr) { return tapAddr.Addr(), linkLocalOf(gatewayMAC).Addr() }

// What a pod's packet socket may hold, in bytes: a bound for each pod.
const vethRxBytes, vethTxBytes = 2 << 20, 1 << 20

func vethOf(pod configs.Pod) tuntap.Veth {
	return tuntap.Veth{Name: pod.Name, NetNS: pod.NetNS, Peer: pod.Interface, MTU: pod.MTU, MAC: podMAC(pod)}
}

// podMAC derives the link address of a pod's device from its names, so that it
// is the same after a restart: a local, individual one (IEEE 802, section 8.2).
func podMAC(pod configs.Pod) net.HardwareAddr {
	sum := sha1.Sum([]byte(pod.Name + " " + pod.Interface))
	mac := net.HardwareAddr(sum[:6])
	mac[0] = mac[0]&^1 | 2
	return mac
}

// openVeth makes a pod's pair, or opens the one that was made before.
func openVeth(pod configs.Pod, made bool) (drivers.Device, error) {
	v := vethOf(pod)
	there := false
	if made {
		var err error
		if there, err = v.Exists(); err != nil {
			return nil, err
		}
	}
	if !there {
		if err := v.Create(); err != nil {
			return nil, err
		}
	}
	dev, err := quietVeth(v)
	if err != nil && !there {
		err = errors.Join(err, v.Delete())
	}
	return dev, err
}

func quietVeth(v tuntap.Veth) (drivers.Device, error) {
	if err := v.Quiet(); err != nil {
		return nil, err
	}
	return afpacket.Open(afpacket.Config{Interface: v.Name, RxBytes: vethRxBytes, TxBytes: vethTxBytes})
}

// awaitVeth waits until packets reach a pod's Ethernet device.
func awaitVeth(pod configs.Pod) error {
	if pod.Type != configs.TypeVeth {
		return nil
	}
	return vethOf(pod).AwaitRunning()
}

// deletePodDevice deletes what openPod has made.
func deletePodDevice(p *port) error {
	if p.peer.MAC != nil {
		return tuntap.Veth{Name: p.Name}.Delete()
	}
	return tuntap.Delete(p.peer.NetNS, p.peer.Name)
}

// deleteStored does the same for a pod that nobody has opened.
func deleteStored(pod configs.Pod) error {
	if pod.Type == configs.TypeVeth {
		return vethOf(pod).Delete()
	}
	return tuntap.Delete(pod.NetNS, pod.Interface)
}

// becomeEthernet says what an interface to a pod's Ethernet device is.
func (p *port) becomeEthernet(mac net.HardwareAddr) {
	p.Ethernet, p.MAC, p.Addr4, p.LinkLocal = true, gatewayMAC, tapAddr, linkLocalOf(gatewayMAC)
	p.peer.MAC = mac
}

// knowPod tells the data plane the link address of a pod's device. c.mu is
// held.
func (c *Control) knowPod(p *port) error {
	for _, a := range p.peer.Addrs {
		mac := hdr.MAC(p.peer.MAC)
		if err := c.rib.SetNeighbor(p.index, a.Addr(), mac); err != nil {
			return fmt.Errorf("control: neighbour %s: %w", a.Addr(), err)
		}
		c.neighbors[neighborKey{p.index, a.Addr()}] = &neighbor{mac: mac, state: Reachable, static: true, heard: time.Now()}
	}
	return nil
}

// setGateways gives routes their gateways, and tells a pod's kernel the link
// address of those. A guest behind it that asks by itself is answered by
// arp-input and nd-input.
func setGateways(link *tuntap.Link, addrs []netip.Prefix, routes []tuntap.Route) error {
	v4, v6 := podGateways()
	for i := range routes {
		if routes[i].Via = v6; routes[i].Dst.Addr().Is4() {
			routes[i].Via = v4
		}
	}
	has4, has6 := families(addrs)
	for gw, wanted := range map[netip.Addr]bool{v4: has4, v6: has6} {
		if !wanted {
			continue
		}
		if err := link.SetNeighbor(gw, gatewayMAC[:]); err != nil {
			return err
		}
	}
	return nil
}
