package tuntap

import (
	"testing"

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
