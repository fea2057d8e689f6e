package session_test

import (
	"fmt"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// TestLayout: the bytes of a record are those of its comment. They are in
// files: whoever changes them changes which files can be read.
func TestLayout(t *testing.T) {
	for _, part := range []struct {
		of   reflect.Type
		size uintptr
		want string
	}{
		{reflect.TypeFor[session.Session](), 64, "0 tuple [4]uint64, 32 Last uint32, 36 Gen uint32, " +
			"40 seen uint8, 41 class session.Class, 42 Verdict session.Verdict, 43 kind session.kind, " +
			"44 owner uint16, 46 Flags uint16, 48 packets [2]uint16, 52 routes [2]uint16, 56 bytes [2]uint32"},
		{reflect.TypeFor[session.Rest](), 32, "0 key uint64, 8 check uint32, 12 peer uint32, 16 data [2]uint32, 24 bytes [2]uint16, 28 packets [2]uint16"},
	} {
		var got []string
		for i := range part.of.NumField() {
			f := part.of.Field(i)
			got = append(got, fmt.Sprintf("%d %s %s", f.Offset, f.Name, f.Type))
		}
		if g := strings.Join(got, ", "); g != part.want || part.of.Size() != part.size {
			t.Errorf("%d bytes, fields\n%s\nwant %d bytes,\n%s", part.of.Size(), g, part.size, part.want)
		}
	}
}

// TestMemory: what the package says a session takes.
func TestMemory(t *testing.T) {
	tab := table(t, session.Config{Capacity: 1_000_000})
	if n := tab.BytesPerSession(); n < 123 || n > 125 {
		t.Errorf("%.2f bytes per session, the package says 124", n)
	}
}

// TestRuns: at the highest load and with keys that differ as little as keys
// do, no slot lies near the limit of how far it may be from home.
func TestRuns(t *testing.T) {
	tab := table(t, session.Config{Capacity: 200_000})
	fill4(t, tab, 200_000, 1)
	if d := tab.MaxDisplacement(); d > 100 {
		t.Errorf("a slot is %d from home, of %d allowed", d, 512)
	}
	if share := tab.BeyondWindow(); share > 0.08 {
		t.Errorf("%.3f of the slots lie beyond the first window", share)
	}
	if err := tab.Check(); err != nil {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	k := session.MakeKey4(0x0a000001, 0x0a000002, 1, 2, hdr.ProtoUDP, 3)
	if k.Src() != 0x0a000001 || k.Dst() != 0x0a000002 || k.SrcPort() != 1 || k.DstPort() != 2 || k.Proto() != 17 || k.Zone() != 3 {
		t.Errorf("the parts of %v", k)
	}
	if s := k.Swap(); s != session.MakeKey4(0x0a000002, 0x0a000001, 2, 1, hdr.ProtoUDP, 3) || s.Swap() != k {
		t.Errorf("swapped: %v", s)
	}
	if got, want := k.String(), "17 10.0.0.1:1 > 10.0.0.2:2 zone 3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	a, b := hdr.Addr6{Hi: 1, Lo: 2}, hdr.Addr6{Hi: 3, Lo: 4}
	k6 := session.MakeKey6(a, b, 5, 6, hdr.ProtoTCP, 0)
	if k6.Src() != a || k6.Dst() != b || k6.SrcPort() != 5 || k6.DstPort() != 6 || k6.Proto() != 6 || k6.Zone() != 0 {
		t.Errorf("the parts of %v", k6)
	}
	if s := k6.Swap(); s != session.MakeKey6(b, a, 6, 5, hdr.ProtoTCP, 0) {
		t.Errorf("swapped: %v", s)
	}
	if got, want := k6.String(), "6 [::1:0:0:0:2]:5 > [::3:0:0:0:4]:6"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestVectors: lookups of a vector find what lookups of one find, at any
// length and load.
func TestVectors(t *testing.T) {
	const flows = 3000
	tab := table(t, session.Config{Capacity: 2 * flows})
	fill4(t, tab, flows, 1)
	for i := range flows {
		k := flow6(i)
		r := k.Swap()
		if i%3 == 0 {
			r = session.MakeKey6(hdr.Addr6{Lo: uint64(i)}, hdr.Addr6{Hi: 9}, 1, 2, hdr.ProtoTCP, 0)
		}
		if _, res := tab.Insert6(&k, &r, tab.Hash6(&k), 0, hdr.TCPSyn, 1); res != session.Inserted && res != session.Full {
			t.Fatal(res)
		}
	}
	for n := range 300 {
		keys4, keys6 := make([]session.Key4, n), make([]session.Key6, n)
		hash4, hash6 := make([]uint64, n), make([]uint64, n)
		for i := range n {
			keys4[i], keys6[i] = flow4((n*31+i*17)%(2*flows)), flow6((n*31+i*17)%(2*flows))
			if i%2 == 0 {
				keys4[i], keys6[i] = keys4[i].Swap(), keys6[i].Swap()
			}
			hash4[i], hash6[i] = tab.Hash4(keys4[i]), tab.Hash6(&keys6[i])
			if i%5 == 0 {
				hash4[i] ^= 1 << 60 // a tag that is another's, or nobody's
			}
		}
		out4, out6 := make([]session.Ref, n), make([]session.Ref, n)
		tab.FindVector4(keys4, hash4, out4)
		tab.FindVector6(keys6, hash6, out6)
		for i := range n {
			if w := tab.Find4(keys4[i], hash4[i]); out4[i] != w {
				t.Fatalf("%v: %x, want %x", keys4[i], out4[i], w)
			}
			if w := tab.Find6(&keys6[i], hash6[i]); out6[i] != w {
				t.Fatalf("%v: %x, want %x", keys6[i], out6[i], w)
			}
		}
	}
}

// TestSameTag: keys whose tags are equal are told apart, also the tag 0.
func TestSameTag(t *testing.T) {
	tab := table(t, session.Config{Capacity: 100})
	k := flow4(1)
	for _, hash := range []uint64{0, 1, ^uint64(0)} {
		if r := tab.Find4(k, hash); r != 0 {
			t.Errorf("hash %x: found %x in an empty table", hash, r)
		}
		out := []session.Ref{9}
		if tab.FindVector4([]session.Key4{k}, []uint64{hash}, out); out[0] != 0 {
			t.Errorf("hash %x: found %x in an empty table", hash, out[0])
		}
	}
	fill4(t, tab, 50, 1)
	hash := tab.Hash4(k)
	other := flow4(99)
	out := []session.Ref{9}
	if tab.FindVector4([]session.Key4{other}, []uint64{hash}, out); out[0] != 0 {
		t.Errorf("a key with another's hash: found %x", out[0])
	}
}

func TestNoAllocs(t *testing.T) {
	tab := table(t, session.Config{Capacity: 2000})
	frags, err := session.NewFrags(64)
	if err != nil {
		t.Fatal(err)
	}
	keys, hashes, refs := make([]session.Key4, 256), make([]uint64, 256), make([]session.Ref, 256)
	keys6 := make([]session.Key6, 256)
	var now uint32 = 1
	var p4 session.Packet4
	packet := []byte{0x45, 0, 0, 40, 0, 1, 0x20, 0, 64, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 39: 0}
	if n := testing.AllocsPerRun(50, func() {
		now += 20
		for i := range keys {
			keys[i], keys6[i] = flow4(i), flow6(i)
			hashes[i] = tab.Hash4(keys[i])
		}
		tab.FindVector4(keys, hashes, refs)
		for i, k := range keys {
			r, _ := tab.Insert4(k, k.Swap(), hashes[i], 1, hdr.TCPSyn, now)
			tab.Seen(r, 1, 60, hdr.TCPSyn, now)
			if i%3 == 0 {
				tab.Delete(r.Index())
			}
			hashes[i] = tab.Hash6(&keys6[i])
			rev := flow6(i + 1000)
			r, _ = tab.Insert6(&keys6[i], &rev, hashes[i], 2, hdr.TCPSyn, now)
			tab.Leaves6(r)
		}
		tab.FindVector6(keys6, hashes, refs)
		tab.Expire(now, 1000)
		for i := tab.Next(0); i != 0; i = tab.Next(i) {
			tab.SetOwner(i, uint16(i))
		}
		session.Parse4(packet, 0, &p4)
		f := p4.Frag()
		frags.First(&f, 1, 2, p4.At, now)
		frags.Later(&f, p4.At, now)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// What is called for each packet stays small enough to be inlined.
func TestInline(t *testing.T) {
	const pkg = "github.com/skein-dataplane/skein/session"
	out, err := exec.Command("go", "build", "-gcflags="+pkg+"=-m", pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, f := range []string{"(*Table).Hash4", "(*Table).At", "(*Table).Out4", "(*Table).is4", "(*index).home", "MakeKey4", "PlainKey4", "(*Key6).SetPlain", "(*Session).SeenSteady", "(*Session).Leaves4", "(*Table).Route", "Key4.Swap"} {
		if !strings.Contains(string(out), ": can inline "+f+"\n") {
			t.Errorf("%s is no longer inlined", f)
		}
	}
}
