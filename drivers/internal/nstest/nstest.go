// Package nstest answers one question: how does a driver's test get a real
// kernel at the other end of a wire?
//
// Namespaces are anonymous: they live as long as the test's file descriptor,
// so nothing is left behind even if the test is killed. Maturity: stable.
package nstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/drivers/internal/inns"
)

// NeedRoot fails the test unless it may make namespaces. SKEIN_SKIP_ROOT=1
// makes it skip instead.
func NeedRoot(t testing.TB) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("SKEIN_SKIP_ROOT") == "1":
		t.Skip("needs root; skipped because SKEIN_SKIP_ROOT=1")
	default:
		t.Fatal("needs root for network namespaces; set SKEIN_SKIP_ROOT=1 to skip such tests")
	}
}

// NS is a network namespace that ends with the test.
type NS struct {
	Links  *netlink.Handle // acts inside the namespace
	handle netns.NsHandle
}

// New makes an empty network namespace with lo up.
func New(t testing.TB) *NS {
	t.Helper()
	NeedRoot(t)
	type made struct {
		ns  netns.NsHandle
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		ns, err := netns.New()
		done <- made{ns, err}
	}()
	m := <-done
	if m.err != nil {
		t.Fatalf("nstest: make network namespace: %v", m.err)
	}
	links, err := netlink.NewHandleAt(m.ns)
	if err != nil {
		t.Fatalf("nstest: netlink: %v", err)
	}
	ns := &NS{Links: links, handle: m.ns}
	t.Cleanup(func() { links.Close(); ns.handle.Close() })
	// No router solicitations: tests want only their own packets on the wire.
	for _, conf := range []string{"default", "all"} {
		ns.Sysctl(t, "net/ipv6/conf/"+conf+"/disable_ipv6", "1")
	}
	ns.Up(t, "lo")
	return ns
}

// Path names the namespace for this process.
func (n *NS) Path() string { return fmt.Sprintf("/proc/self/fd/%d", int(n.handle)) }

// Do runs f inside the namespace. f must not call t.Fatal: it is not on the
// test's goroutine.
func (n *NS) Do(t testing.TB, f func() error) {
	t.Helper()
	if err := inns.Do(n.Path(), f); err != nil {
		t.Fatal(err)
	}
}

// DoUnprivileged is Do without the capabilities that root has.
func (n *NS) DoUnprivileged(t testing.TB, f func() error) {
	t.Helper()
	n.Do(t, func() error {
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var all, none [2]unix.CapUserData // the second is for capabilities 32 to 63
		if err := unix.Capget(&head, &all[0]); err != nil {
			return fmt.Errorf("nstest: capget: %w", err)
		}
		none = all
		none[0].Effective, none[1].Effective = 0, 0
		if err := unix.Capset(&head, &none[0]); err != nil {
			return fmt.Errorf("nstest: capset: %w", err)
		}
		return errors.Join(f(), unix.Capset(&head, &all[0]))
	})
}

// Sysctl writes a file below /proc/sys inside the namespace.
func (n *NS) Sysctl(t testing.TB, name, value string) {
	t.Helper()
	n.Do(t, func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

// Up and Down set a link's administrative state.
func (n *NS) Up(t testing.TB, name string)   { n.set(t, name, n.Links.LinkSetUp) }
func (n *NS) Down(t testing.TB, name string) { n.set(t, name, n.Links.LinkSetDown) }

func (n *NS) set(t testing.TB, name string, f func(netlink.Link) error) {
	t.Helper()
	if err := f(n.Link(t, name)); err != nil {
		t.Fatalf("nstest: set %s: %v", name, err)
	}
}

// MTU sets a link's MTU.
func (n *NS) MTU(t testing.TB, name string, mtu int) {
	t.Helper()
	if err := n.Links.LinkSetMTU(n.Link(t, name), mtu); err != nil {
		t.Fatalf("nstest: MTU of %s: %v", name, err)
	}
}

// Link returns what the kernel says of a link.
func (n *NS) Link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := n.Links.LinkByName(name)
	if err != nil {
		t.Fatalf("nstest: link %s: %v", name, err)
	}
	return l
}

// Veth joins two namespaces by a cable of the given number of queues, both
// ends up.
func Veth(t testing.TB, a *NS, nameA string, b *NS, nameB string, queues int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = nameA, queues, queues
	err := a.Links.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB,
		PeerNamespace:   netlink.NsFd(int(b.handle)),
		PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues)})
	if err != nil {
		t.Fatalf("nstest: veth: %v", err)
	}
	a.Up(t, nameA)
	b.Up(t, nameB)
}

// Addr gives a link an address, such as "10.0.0.1/24".
func (n *NS) Addr(t testing.TB, name, cidr string) {
	t.Helper()
	addr, err := netlink.ParseAddr(cidr)
	if err == nil {
		addr.Flags = unix.IFA_F_NODAD
		err = n.Links.AddrAdd(n.Link(t, name), addr)
	}
	if err != nil {
		t.Fatalf("nstest: address %s: %v", cidr, err)
	}
}

// Neigh makes ip reachable at mac, so that no ARP or neighbour discovery is
// needed.
func (n *NS) Neigh(t testing.TB, name, ip string, mac net.HardwareAddr) {
	t.Helper()
	err := n.Links.NeighSet(&netlink.Neigh{LinkIndex: n.Link(t, name).Attrs().Index,
		State: netlink.NUD_PERMANENT, IP: net.ParseIP(ip), HardwareAddr: mac})
	if err != nil {
		t.Fatalf("nstest: neighbour %s: %v", ip, err)
	}
}

// OpenFDs returns the number of file descriptors that the process has open.
func OpenFDs(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// Run runs a command inside the namespace.
func (n *NS) Run(t testing.TB, name string, args ...string) {
	t.Helper()
	n.Do(t, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("nstest: %s %v: %w: %s", name, args, err, out)
		}
		return nil
	})
}
