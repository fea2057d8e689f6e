package tour_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/internal/lab"
)

// A tagger is a VLAN interface in user space, for kernels without 8021q: what
// the stack sends by a TAP leaves by another link with tags, and back.
type tagger struct {
	tags []byte // TPID and TCI of each, outermost first
	tap  *os.File
	raw  *os.File
}

// addVLAN puts a VLAN onto a link, as an interface with addresses.
func addVLAN(h *host, n *lab.Namespace, link, name string, tags []byte, addrs ...string) {
	h.t.Helper()
	g := &tagger{tags: tags}
	err := n.Do(func() (err error) {
		if g.raw, err = rawSocket(link, false); err != nil {
			return err
		}
		if g.tap, err = plainTAP(name); err != nil {
			return err
		}
		nic, err := net.InterfaceByName(link)
		if err == nil {
			h.ip(n, fmt.Sprintf("link set %s address %v mtu %d up", name, nic.HardwareAddr, vlanMTU(tags)))
			for _, addr := range addrs {
				h.addr(n, addr, name)
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	go g.push()
	go g.pop()
	h.t.Cleanup(func() {
		_ = g.tap.Close()
		_ = g.raw.Close()
	})
}

// push sends what the stack sends.
func (g *tagger) push() {
	frame := make([]byte, 1<<16)
	for {
		n, err := g.tap.Read(frame)
		if err != nil {
			return
		}
		if n >= 14 {
			tagged := append(bytes.Clone(frame[:12]), g.tags...)
			_, _ = g.raw.Write(append(tagged, frame[12:n]...))
		}
	}
}

// pop hands the stack what comes with the same tags.
func (g *tagger) pop() {
	for {
		frame, err := receive(g.raw, 0)
		if err != nil {
			return
		}
		if rest, ok := bytes.CutPrefix(frame[12:], g.tags); ok {
			_, _ = g.tap.Write(append(frame[:12:12], rest...))
		}
	}
}

// plainTAP makes a TAP of the calling thread's namespace.
func plainTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	return os.NewFile(uintptr(fd), name), err
}

// rawSocket opens a packet socket on a link of the calling thread's namespace,
// with a virtio-net header before each packet if vnet.
func rawSocket(link string, vnet bool) (*os.File, error) {
	nic, err := net.InterfaceByName(link)
	if err != nil {
		return nil, err
	}
	const all = unix.ETH_P_ALL << 8 // network byte order on a little-endian machine
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for _, option := range []int{unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_PACKET, option, 1)
		}
	}
	if err == nil && vnet {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: nic.Index, Protocol: all})
	}
	return os.NewFile(uintptr(fd), link), err
}

// receive returns the next frame of a packet socket, with the tag in it that
// the kernel has taken out, behind header bytes that are left out.
func receive(f *os.File, header int) (frame []byte, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	buf, oob := make([]byte, 1<<17), make([]byte, 256)
	var n, oobn int
	var failed error
	err = c.Read(func(fd uintptr) bool {
		n, oobn, _, _, failed = unix.Recvmsg(int(fd), buf, oob, 0)
		return failed != unix.EAGAIN
	})
	if err != nil || failed != nil {
		return nil, os.ErrClosed
	}
	frame = buf[header:n]
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(unsafe.SliceData(m.Data)))
		if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, aux.Vlan_tpid), aux.Vlan_tci)
			frame = append(append(bytes.Clone(frame[:12]), tag...), frame[12:]...)
		}
	}
	return frame, nil
}

// vlanMTU returns what a link of 1500 bytes carries within tags: a packet
// socket lets a frame be longer by the one tag of 802.1Q, and by no other.
func vlanMTU(tags []byte) int {
	if tags[0] == 0x81 {
		return 1504 - len(tags)
	}
	return 1500 - len(tags)
}
