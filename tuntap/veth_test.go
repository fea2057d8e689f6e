package tuntap

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/internal/lab"
)

// TestVethFirstFrame: what is sent to a pod after AwaitRunning gets there.
func TestVethFirstFrame(t *testing.T) {
	l := lab.ForTest(t)
	host, pod := l.Add(t, "host"), l.Add(t, "pod")
	lab.Need(t, pod.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"))
	received := func() uint64 {
		link, err := pod.Netlink().LinkByName("eth0")
		lab.Need(t, err)
		return link.Attrs().Statistics.RxPackets
	}
	lab.Need(t, host.Do(func() error {
		for range 30 {
			v := Veth{Name: "pod0", NetNS: pod.Path(), Peer: "eth0"}
			lab.Need(t, v.Create())
			lab.Need(t, v.Quiet())
			inside, err := OpenLink(pod.Path(), "eth0")
			lab.Need(t, err)
			outside, err := OpenLink("", v.Name)
			lab.Need(t, err)
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			lab.Need(t, err)
			lab.Need(t, inside.SetUp())
			lab.Need(t, v.AwaitRunning())
			lab.Need(t, unix.Sendto(fd, make([]byte, 60), 0, &unix.SockaddrLinklayer{Ifindex: outside.Index()}))
			if received() != 1 {
				t.Error("the first frame is lost")
			}
			lab.Need(t, unix.Close(fd))
			inside.Close()
			outside.Close()
			lab.Need(t, v.Delete())
		}
		return nil
	}))
}

// TestVethIsDeaf: what a pod sends gets to packet sockets, and never to the
// host's stack, to whatever address and however often Quiet was called.
func TestVethIsDeaf(t *testing.T) {
	l := lab.ForTest(t)
	host, pod := l.Add(t, "host"), l.Add(t, "pod")
	v := Veth{Name: "pod0", NetNS: pod.Path(), Peer: "eth0"}
	fd := -1
	lab.Need(t, host.Do(func() (err error) {
		lab.Need(t, v.Create())
		lab.Need(t, v.Quiet())
		lab.Need(t, v.Quiet()) // as after a restart
		lab.Need(t, pod.Up("eth0"))
		lab.Need(t, v.AwaitRunning())
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0x0300) // ETH_P_ALL
		return err
	}))
	defer unix.Close(fd)
	lab.Need(t, pod.Addr("eth0", "10.9.9.9/32"))
	lab.Need(t, pod.Route("0.0.0.0/0", "", "eth0"))
	conn, err := host.ListenUDP(netip.MustParseAddrPort("0.0.0.0:9999"))
	lab.Need(t, err)
	defer conn.Close()
	for _, to := range [][4]byte{{255, 255, 255, 255}, {224, 0, 0, 1}} {
		lab.Need(t, pod.Do(func() error {
			out, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			lab.Need(t, err)
			defer unix.Close(out)
			lab.Need(t, unix.SetsockoptInt(out, unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
			return unix.Sendto(out, []byte("hi"), 0, &unix.SockaddrInet4{Port: 9999, Addr: to})
		}))
	}
	lab.Need(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if n, from, err := conn.ReadFromUDP(make([]byte, 100)); err == nil {
		t.Errorf("the host has heard %d bytes from %v", n, from)
	}
	heard := 0
	for p := make([]byte, 100); ; {
		n, _, err := unix.Recvfrom(fd, p, 0)
		if err != nil {
			break
		}
		if n == 30 { // and not what the pod's kernel says by itself
			heard++
		}
	}
	if heard != 2 {
		t.Errorf("the packet socket has heard %d of 2", heard)
	}
	lab.Need(t, host.Do(v.Delete))
}
