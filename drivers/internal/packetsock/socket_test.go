package packetsock

import (
	"errors"
	"net"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"github.com/skein-dataplane/skein/hdr"
	"golang.org/x/sys/unix"
)

// TestSender sends more than one system call carries, and expects all of it in
// order; the socket itself hears nothing of what comes.
func TestSender(t *testing.T) {
	kernel, skein := nstest.New(t), nstest.New(t)
	pool := nstest.NewPool(t, 512, 0)
	nstest.Veth(t, kernel, "k0", skein, "s0", 1)
	kernel.Addr(t, "k0", "10.0.0.1/24")
	near, far := skein.Link(t, "s0").Attrs(), kernel.Link(t, "k0").Attrs()
	fd := -1
	skein.Do(t, func() (err error) { fd, err = OpenSender(near.Index); return err })
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	})
	var stats drivers.Stats
	var s Sender
	s.Init(fd, &stats)
	c := kernel.ListenUDP(t, "10.0.0.1:9")

	v := make([]*buf.Buffer, 2*Batch+1)
	if pool.Get(v) != len(v) {
		t.Fatal("pool empty")
	}
	for i, b := range v {
		b.Set(nstest.UDPFrame(hdr.MAC(far.HardwareAddr), hdr.MAC(near.HardwareAddr), []byte{byte(i)}))
		b.Flags, b.CsumStart, b.CsumOffset = b.Flags|buf.CsumPartial, uint16(b.Off()+34), 6
	}
	if n := s.Tx(pool, v); n != len(v) || stats.Syscalls != 3 {
		t.Fatalf("Tx = %d of %d, %+v", n, len(v), stats)
	}
	got := make([]byte, 10)
	for i := range v {
		if n, err := c.Read(got); err != nil || n != 1 || got[0] != byte(i) {
			t.Fatalf("packet %d: got % x, %v", i, got[:n], err)
		}
	}
	kernel.Neigh(t, "k0", "10.0.0.2", near.HardwareAddr)
	if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
		t.Fatal(err)
	}
	if n, _, err := unix.Recvfrom(fd, got, unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("the socket has received %d bytes, %v", n, err)
	}
}

func TestUnprivileged(t *testing.T) {
	ns := nstest.New(t)
	ns.DoUnprivileged(t, func() error {
		_, err := OpenSender(1)
		var missing *drivers.Missing
		if !errors.As(err, &missing) {
			t.Errorf("OpenSender: %v", err)
		}
		return nil
	})
}
