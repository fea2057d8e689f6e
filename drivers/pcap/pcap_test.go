package pcap

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers/mem"
)

func newPool(t testing.TB) *buf.Pool {
	t.Helper()
	p, err := buf.NewPool(512, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s := p.Stats(); s.SmallFree != s.Small || s.LargeFree != s.Large {
			t.Errorf("buffers lost: %+v", s)
		}
		p.Arena().Close()
	})
	return p
}

func capture(t testing.TB, link layers.LinkType, packets ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(0, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(p), Length: len(p)}, p); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// TestThrough sends a file through a device to another file, twice over.
func TestThrough(t *testing.T) {
	sizes := []int{0, 60, 1514, 9000, MaxPacket}
	for _, link := range []layers.LinkType{layers.LinkTypeEthernet, layers.LinkTypeRaw} {
		t.Run(link.String(), func(t *testing.T) {
			var packets [][]byte
			for i, n := range sizes {
				packets = append(packets, bytes.Repeat([]byte{byte(i)}, n))
			}
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in.pcap"), filepath.Join(dir, "out.pcap")
			if err := os.WriteFile(in, capture(t, link, packets...), 0o600); err != nil {
				t.Fatal(err)
			}
			stamp := time.Unix(1700000000, 123456789)
			d, err := Open(Config{Read: in, Loop: 1, Write: out, Now: func() time.Time { return stamp }})
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Info(); got.Ethernet != (link == layers.LinkTypeEthernet) || got.MTU != 1500 {
				t.Errorf("Info = %+v", got)
			}
			p, q := newPool(t), d.Queues()[0]
			var v [3]*buf.Buffer
			total := 0
			for n := q.Rx(p, v[:]); n > 0; n = q.Rx(p, v[:]) {
				if q.Tx(p, v[:n]) != n {
					t.Fatal("not sent")
				}
				total += n
			}
			if err := q.Close(p); err != nil {
				t.Fatal(err)
			}
			if total != 2*len(sizes) {
				t.Errorf("%d packets, want %d", total, 2*len(sizes))
			}
			check(t, out, link, stamp, append(packets, packets...))
		})
	}
}

func check(t *testing.T, path string, link layers.LinkType, stamp time.Time, want [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil || r.LinkType() != link {
		t.Fatalf("%v, %v", r.LinkType(), err)
	}
	for i, w := range want {
		data, ci, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, w) || !ci.Timestamp.Equal(stamp) {
			t.Fatalf("packet %d: %d bytes at %v, %v", i, len(data), ci.Timestamp, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := capture(t, layers.LinkTypeEthernet, make([]byte, 60))
	for _, c := range []Config{
		{},
		{Read: filepath.Join(dir, "missing")},
		{Read: write("text", []byte("this is not a capture file"))},
		{Read: write("cut", whole[:len(whole)-1])},
		{Read: write("wifi", capture(t, layers.LinkTypeIEEE802_11))},
		{Read: write("long", capture(t, layers.LinkTypeEthernet, make([]byte, MaxPacket+1)))},
		{Write: dir},
	} {
		if _, err := Open(c); err == nil {
			t.Errorf("opened %+v", c)
		} else {
			t.Log(err)
		}
	}
}

func TestWriteFails(t *testing.T) {
	d, err := Open(Config{Write: "/dev/full", IP: true})
	if err != nil {
		t.Fatal(err)
	}
	p, q := newPool(t), d.Queues()[0]
	var v [256]*buf.Buffer
	for range 4 {
		p.Get(v[:])
		for _, b := range v {
			b.SetLen(1500)
		}
		if n := q.Tx(p, v[:]); n != len(v) {
			t.Fatalf("Tx = %d", n)
		}
	}
	if q.Stats().TxErrors == 0 {
		t.Error("errors are not counted")
	}
	if err := q.Close(p); err == nil {
		t.Error("a file that could not be written was closed without an error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(capture(f, layers.LinkTypeEthernet, make([]byte, 60)))
	f.Add(capture(f, layers.LinkTypeRaw, nil, make([]byte, 60)))
	f.Fuzz(func(t *testing.T, file []byte) {
		packets, _, err := parse(bytes.NewReader(file))
		total := 0
		for _, p := range packets {
			total += len(p.Data)
		}
		if err == nil && total > len(file) {
			t.Errorf("%d bytes of packets in %d of file", total, len(file))
		}
	})
}

func BenchmarkTx(b *testing.B) {
	d, err := Open(Config{Write: "/dev/null"})
	if err != nil {
		b.Fatal(err)
	}
	p, q := newPool(b), d.Queues()[0]
	source := mem.NewSource([]mem.Packet{{Data: make([]byte, 64)}}, mem.Forever)
	var v [256]*buf.Buffer
	stats := q.Stats()
	b.ReportAllocs()
	for b.Loop() {
		q.Tx(p, v[:source.Rx(p, v[:], &stats)])
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/256, "ns/packet")
}
