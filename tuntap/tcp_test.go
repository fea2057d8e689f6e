package tuntap

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/internal/lab"
)

// pair makes two namespaces with a device each, and joins them.
func (t *bench) pair(c Config, a4, b4, a6, b6 string) (a, b *lab.Namespace, super func() int) {
	t.Helper()
	a, b = t.space("a"), t.space("b")
	da, db := t.create(a, c), t.create(b, c)
	t.pod(da, a4, a6)
	t.pod(db, b4, b6)
	return a, b, t.joined(da.queues[0], db.queues[0])
}

// A real TCP connection between two namespaces whose TUNs are joined by a loop
// that reads from one and writes to the other.
func TestTCPBetweenTUNs(t *testing.T) {
	for _, c := range []struct {
		name string
		Config
		bytes int64
		super string // superpackets: "some", "none", or "any" number
	}{
		{"offload", Config{Name: "eth0", Offload: true}, 64 << 20, "some"},
		{"offload, MTU 9000", Config{Name: "eth0", Offload: true, MTU: 9000}, 64 << 20, "some"},
		{"offload, MTU 65535", Config{Name: "eth0", Offload: true, MTU: 65535}, 64 << 20, "any"},
		{"plain", Config{Name: "eth0"}, 16 << 20, "none"},
		{"plain, MTU 9000", Config{Name: "eth0", MTU: 9000}, 16 << 20, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			x, y, super := b.pair(c.Config, "10.244.0.2", "10.244.0.3", "2001:db8::2", "2001:db8::3")
			ctx := b.within(20 * time.Second)
			for _, dst := range []string{"10.244.0.3", "2001:db8::3"} {
				lab.Need(t, x.Reaches(ctx, dst, lab.Ping{Count: 3, Size: 1000}))
				rate, err := lab.Transfer{From: x, To: y, Addr: port(dst, 0), Bytes: c.bytes}.Run(ctx)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: %v", dst, rate)
			}
			if n := super(); n > 0 && c.super == "none" || n == 0 && c.super == "some" {
				t.Errorf("%d superpackets, want %s", n, c.super)
			}
		})
	}
}

// Frames of a TAP start at the Ethernet header: two kernels resolve each
// other's addresses and talk.
func TestTCPBetweenTAPs(t *testing.T) {
	b := newBench(t)
	x, y := b.space("a"), b.space("b")
	cx := Config{Name: "eth0", Mode: TAP, Offload: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	cy := cx
	cy.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 2}
	dx, dy := b.create(x, cx), b.create(y, cy)
	for i, d := range []*Device{dx, dy} {
		l, err := d.Link()
		lab.Need(t, err)
		lab.Need(t, l.SetUp())
		lab.Need(t, l.AddAddr(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), 24)))
		l.Close()
	}
	super := b.joined(dx.queues[0], dy.queues[0])
	ctx := b.within(20 * time.Second)
	lab.Need(t, x.Reaches(ctx, "10.0.0.2", lab.Ping{}))
	rate, err := lab.Transfer{From: x, To: y, Addr: port("10.0.0.2", 0), Bytes: 64 << 20}.Run(ctx)
	lab.Need(t, err)
	t.Logf("%v", rate)
	if super() == 0 {
		t.Error("no superpackets")
	}
	out, err := x.Exec(ctx, "ip", "neigh")
	lab.Need(t, err)
	if want := "02:00:00:00:00:02"; !strings.Contains(string(out), want) {
		t.Errorf("neighbours without %s:\n%s", want, out)
	}
}

// The offload fields of a superpacket, as the kernel gives them to us.
func TestRxSuperpacket(t *testing.T) {
	b := newBench(t)
	x, y := b.space("a"), b.space("b")
	dx, dy := b.create(x, Config{Name: "eth0", Offload: true}), b.create(y, Config{Name: "eth0", Offload: true})
	b.pod(dx, "10.244.0.2")
	b.pod(dy, "10.244.0.3")
	qx, qy := dx.queues[0], dy.queues[0]
	ln, err := y.ListenTCP(port("10.244.0.3", 0))
	lab.Need(t, err)
	defer ln.Close()
	stop := make(chan struct{})
	done := b.forward(stop, qx, qy)
	conn, err := x.DialTCP(b.within(5*time.Second), ln.Addr().(*net.TCPAddr).AddrPort())
	lab.Need(t, err)
	defer conn.Close()
	time.Sleep(20 * time.Millisecond) // the last ACK
	close(stop)
	<-done
	_, err = conn.Write(make([]byte, 8000))
	lab.Need(t, err)
	got := b.rx(qx, 1)
	p := got[0]
	if p.GSOType != buf.GSOTCPv4 || p.GSOSize < 1400 || p.Len() < 5000 || p.Flags&(buf.Large|buf.CsumPartial) != buf.Large|buf.CsumPartial {
		t.Errorf("type %d, size %d, %d bytes, flags %#x", p.GSOType, p.GSOSize, p.Len(), p.Flags)
	}
	tcp := p.Bytes()[20:]
	if hdrLen := int(tcp[12]>>4) * 4; int(p.HdrEnd) != p.Off()+20+hdrLen || int(p.CsumStart) != p.Off()+20 || p.CsumOffset != 16 {
		t.Errorf("headers end at %d, checksum %d+%d; the packet starts at %d", p.HdrEnd, p.CsumStart, p.CsumOffset, p.Off())
	}
	if sent := qy.Tx(b.pool, got); sent != len(got) {
		t.Errorf("written back: %d of %d", sent, len(got))
	}
	b.joined(qx, qy) // for the rest, if it was more than one
	peer, err := ln.AcceptTCP()
	lab.Need(t, err)
	defer peer.Close()
	lab.Need(t, peer.SetReadDeadline(time.Now().Add(2*time.Second)))
	if n, err := io.ReadFull(peer, make([]byte, 8000)); err != nil {
		t.Errorf("%d bytes arrived, %v", n, err)
	}
}

// A UDP superpacket of 40 datagrams crosses as one, and arrives as 40.
func TestUDPSuperpacket(t *testing.T) {
	b := newBench(t)
	x, y := b.space("a"), b.space("b")
	dx, dy := b.create(x, Config{Name: "eth0", Offload: true}), b.create(y, Config{Name: "eth0", Offload: true})
	b.pod(dx, "10.244.0.2", "2001:db8::2")
	b.pod(dy, "10.244.0.3", "2001:db8::3")
	for _, dst := range []string{"10.244.0.3", "2001:db8::3"} {
		server, err := y.ListenUDP(port(dst, 0))
		lab.Need(t, err)
		defer server.Close()
		client, err := x.DialUDP(server.LocalAddr().(*net.UDPAddr).AddrPort())
		lab.Need(t, err)
		defer client.Close()
		segment(t, client, 1000)
		data := make([]byte, 40*1000)
		for i := range data {
			data[i] = byte(i / 1000)
		}
		_, err = client.Write(data)
		lab.Need(t, err)
		var p *buf.Buffer
		for p == nil { // IPv6 multicast reports go first
			got := b.rx(dx.queues[0], 1)
			if last := got[len(got)-1]; last.GSOType != buf.GSONone {
				p, got = last, got[:len(got)-1]
			}
			b.pool.Put(got)
		}
		if p.GSOType != buf.GSOUDP || p.GSOSize != 1000 || p.CsumOffset != 6 {
			t.Errorf("%s: type %d, size %d, checksum offset %d", dst, p.GSOType, p.GSOSize, p.CsumOffset)
		}
		if sent := dy.queues[0].Tx(b.pool, []*buf.Buffer{p}); sent != 1 {
			t.Errorf("%s: not sent", dst)
		}
		lab.Need(t, server.SetReadDeadline(time.Now().Add(2*time.Second)))
		datagram := make([]byte, 2000)
		for i := range 40 {
			if n, err := server.Read(datagram); n != 1000 || err != nil || datagram[999] != byte(i) {
				t.Fatalf("%s: datagram %d: %d bytes of %d, %v", dst, i, n, datagram[999], err)
			}
		}
	}
}
