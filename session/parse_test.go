package session_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// raw turns hexadecimal with spaces into bytes.
func raw(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// ip4 returns a packet from 10.0.0.1 to 10.0.0.2; frag is the flags and offset.
func ip4(proto uint8, frag uint16, payload string) []byte {
	p := raw("45000000 abcd0000 40000000 0a000001 0a000002" + payload)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[6:], frag)
	p[9] = proto
	return p
}

// back returns a packet from 10.0.0.9 to 10.0.0.1, as a router in between sends.
func back(proto uint8, payload string) []byte {
	p := ip4(proto, 0, payload)
	copy(p[12:20], []byte{10, 0, 0, 9, 10, 0, 0, 1})
	return p
}

const (
	a4, b4  = hdr.Addr4(0x0a000001), hdr.Addr4(0x0a000002)
	tcpSyn  = "04d20050 00000001 00000000 50020000 00000000"
	udpData = "04d20035 00080000"
	more    = hdr.MoreFragments
)

// A row is one packet of each kind that the table knows. Errors quote b's
// packet or a's, so their keys go from b to a.
type row struct {
	name  string
	bytes []byte
	part  session.Part
	key   session.Key4
	tcp   uint8
}

func rows4() []row {
	tcp := session.MakeKey4(a4, b4, 1234, 80, hdr.ProtoTCP, 5)
	udp := session.MakeKey4(a4, b4, 1234, 53, hdr.ProtoUDP, 5)
	bare := func(proto uint8) session.Key4 { return session.MakeKey4(a4, b4, 0, 0, proto, 5) }
	h := hex.EncodeToString
	return []row{
		{"TCP", ip4(6, hdr.DontFragment, tcpSyn), session.Whole, tcp, hdr.TCPSyn},
		{"UDP", ip4(17, 0, udpData), session.Whole, udp, 0},
		{"SCTP", ip4(132, 0, "04d20050 00000000 00000000"), session.Whole, session.MakeKey4(a4, b4, 1234, 80, 132, 5), 0},
		{"GRE", ip4(47, 0, ""), session.Whole, bare(47), 0},
		{"echo", ip4(1, 0, "08000000 00070001"), session.Whole, session.MakeKey4(a4, b4, 7, 0, 1, 5), 0},
		{"echo reply", ip4(1, 0, "00000000 00070001"), session.Whole, session.MakeKey4(a4, b4, 0, 7, 1, 5), 0},
		{"timestamp", ip4(1, 0, "0d000000 00070001"), session.Alone, bare(1), 0},
		{"first fragment", ip4(17, more, udpData), session.First, udp, 0},
		{"first fragment of TCP", ip4(6, more, tcpSyn), session.First, tcp, hdr.TCPSyn},
		{"first fragment of an echo", ip4(1, more, "08000000 00070001"), session.First, session.MakeKey4(a4, b4, 7, 0, 1, 5), 0},
		{"later fragment", ip4(17, more|1, "ffff"), session.Later, bare(17), 0},
		{"last fragment of TCP", ip4(6, 2, "ffff"), session.Later, bare(6), 0},
		{"fragment over the flags", ip4(6, 1, tcpSyn), session.Bad, bare(6), 0},
		{"tiny first fragment", ip4(6, more, "04d20050 00000001"), session.Bad, bare(6), 0},
		{"short UDP", ip4(17, 0, "04d20035"), session.Bad, bare(17), 0},
		{"short ICMP", ip4(1, 0, "080000"), session.Bad, bare(1), 0},
		{"port unreachable", back(1, "03030000 00000000"+h(ip4(17, 0, udpData))), session.Related, udp.Swap(), 0},
		{"time exceeded, quoting 8 bytes of TCP", back(1, "0b000000 00000000"+h(ip4(6, 0, "04d20050 00000001"))), session.Related, tcp.Swap(), 0},
		{"fragmentation needed, for an echo", back(1, "03040000 000005dc"+h(ip4(1, 0, "08000000 00070001"))), session.Related, session.MakeKey4(b4, a4, 0, 7, 1, 5), 0},
		{"error for a first fragment", back(1, "0b010000 00000000"+h(ip4(17, more, udpData))), session.Related, udp.Swap(), 0},
		{"error for a later fragment", back(1, "0b010000 00000000"+h(ip4(17, 5, udpData))), session.Bad, bare(17), 0},
		{"error for an error", back(1, "03030000 00000000"+h(back(1, "03030000 00000000"+h(ip4(17, 0, udpData))))), session.Bad, bare(1), 0},
		{"error for a timestamp", back(1, "03030000 00000000"+h(ip4(1, 0, "0d000000 00070001"))), session.Bad, bare(1), 0},
		{"error for nothing", back(1, "03030000 00000000"), session.Bad, bare(1), 0},
		{"error for too little", back(1, "03030000 00000000"+h(ip4(17, 0, "04d200"))), session.Bad, bare(17), 0},
	}
}

func TestParse4(t *testing.T) {
	for _, r := range rows4() {
		var out session.Packet4
		part := session.Parse4(r.bytes, 5, &out)
		if part != r.part || part != session.Bad && out.Key != r.key || part == session.Whole && out.TCP != r.tcp {
			t.Errorf("%s: %d %v flags %x, want %d %v", r.name, part, out.Key, out.TCP, r.part, r.key)
		}
		for n := range len(r.bytes) { // cut off anywhere
			session.Parse4(r.bytes[:n], 5, &out)
		}
	}
	for _, text := range []string{"", "45", "65000014 00000000 40060000 0a000001 0a000002", "44000014 00000000 40060000 0a000001 0a000002",
		"4f000014 00000000 40060000 0a000001 0a000002"} {
		var out session.Packet4
		if part := session.Parse4(raw(text), 0, &out); part != session.Bad {
			t.Errorf("%q: %d", text, part)
		}
	}
}

// TestRelated: an error finds the session of the packet that it quotes, also
// behind a translation, in the direction that it goes itself.
func TestRelated(t *testing.T) {
	tab := table(t, session.Config{Capacity: 10})
	// a asks c, which is translated to b: a > c leaves as a > b.
	c4 := hdr.Addr4(0x0a0000fe)
	fwd := session.MakeKey4(a4, c4, 1234, 53, hdr.ProtoUDP, 0)
	rev := session.MakeKey4(b4, a4, 53, 1234, hdr.ProtoUDP, 0)
	r, res := tab.Insert4(fwd, rev, tab.Hash4(fwd), 0, 0, 1)
	if res != session.Inserted {
		t.Fatal(res)
	}
	var out session.Packet4
	if part := session.Parse4(back(1, "03030000 00000000"+hex.EncodeToString(ip4(17, 0, udpData))), 0, &out); part != session.Related {
		t.Fatalf("part %d", part)
	}
	if got := tab.Find4(out.Key, tab.Hash4(out.Key)); got != r|session.Reverse {
		t.Fatalf("found %x, want %x", got, r|session.Reverse)
	}
	// What the error has to quote once it is translated: a's own packet.
	if quoted := tab.Out4(r | session.Reverse).Swap(); quoted != fwd {
		t.Errorf("quoted as %v", quoted)
	}
}

// ip6 returns a packet from fd00::1 to fd00::2.
func ip6(next uint8, payload string) []byte {
	p := append(raw("60000000 00000040 fd000000 00000000 00000000 00000001 fd000000 00000000 00000000 00000002"), raw(payload)...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	p[6] = next
	return p
}

func TestParse6(t *testing.T) {
	a, b := hdr.Addr6{Hi: 0xfd00 << 48, Lo: 1}, hdr.Addr6{Hi: 0xfd00 << 48, Lo: 2}
	key := func(sport, dport uint16, proto uint8) session.Key6 {
		return session.MakeKey6(a, b, sport, dport, proto, 5)
	}
	tcp, udp, echo := key(1234, 80, 6), key(1234, 53, 17), key(7, 0, 58)
	h := hex.EncodeToString
	const pad = "0104 00000000" // options of the 8 bytes of a header but its first two
	for _, r := range []struct {
		name  string
		bytes []byte
		part  session.Part
		key   session.Key6
	}{
		{"TCP", ip6(6, tcpSyn), session.Whole, tcp},
		{"UDP", ip6(17, udpData), session.Whole, udp},
		{"echo", ip6(58, "80000000 00070001"), session.Whole, echo},
		{"echo reply", ip6(58, "81000000 00070001"), session.Whole, key(0, 7, 58)},
		{"neighbor solicitation", ip6(58, "87000000 00000000"), session.Alone, key(0, 0, 58)},
		{"no next header", ip6(59, ""), session.Whole, key(0, 0, 59)},
		{"hop-by-hop, destination options", ip6(0, "3c00"+pad+"1100"+pad+udpData), session.Whole, udp},
		{"routing header of 16 bytes", ip6(43, "1101"+pad+"00000000 00000000"+udpData), session.Whole, udp},
		{"authentication header of 24 bytes", ip6(51, "1104"+pad+"00000000 00000000 00000000 00000000"+udpData), session.Whole, udp},
		{"first fragment", ip6(44, "11000001 00000009"+udpData), session.First, udp},
		{"whole in a fragment header", ip6(44, "11000000 00000009"+udpData), session.Whole, udp},
		{"later fragment", ip6(44, "11000011 00000009"+"ff"), session.Later, key(0, 0, 17)},
		{"fragment over the flags", ip6(44, "06000008 00000009"+tcpSyn), session.Bad, tcp},
		{"two fragment headers", ip6(44, "2c000001 00000009 11000001 00000009"+udpData), session.Bad, udp},
		{"extension beyond the end", ip6(0, "11ff"+pad+udpData), session.Bad, udp},
		{"extensions without end", ip6(0, strings.Repeat("0000"+pad, 20)), session.Bad, udp},
		{"short TCP", ip6(6, "04d20050"), session.Bad, tcp},
		{"packet too big", ip6(58, "02000000 000005dc"+h(ip6(17, udpData))), session.Related, udp.Swap()},
		{"error for an echo", ip6(58, "01000000 00000000"+h(ip6(58, "80000000 00070001"))), session.Related, echo.Swap()},
		{"error for an error", ip6(58, "01000000 00000000"+h(ip6(58, "01000000 00000000"+h(ip6(17, udpData))))), session.Bad, udp},
	} {
		var out session.Packet6
		if part := session.Parse6(r.bytes, 5, &out); part != r.part || part != session.Bad && out.Key != r.key {
			t.Errorf("%s: %d %v, want %d %v", r.name, part, out.Key, r.part, r.key)
		}
		for n := range len(r.bytes) {
			session.Parse6(r.bytes[:n], 5, &out)
		}
	}
}

// FuzzParse: no bytes make a parser panic, read beyond the packet, or give an
// answer that depends on what lies there.
func FuzzParse(f *testing.F) {
	for _, r := range rows4() {
		f.Add(r.bytes)
	}
	f.Add(ip6(44, "11000001 00000009"+udpData))
	f.Add(ip6(0, "3c00 010400000000 1100 010400000000"+udpData))
	f.Fuzz(func(t *testing.T, p []byte) {
		exact := bytes.Clone(p)[:len(p):len(p)]
		var a, b session.Packet4
		if session.Parse4(exact, 1, &a) != session.Parse4(append(bytes.Clone(p), 0xff, 0xff)[:len(p)], 1, &b) || a != b {
			t.Errorf("%v and %v", a, b)
		}
		var c, d session.Packet6
		if session.Parse6(exact, 1, &c) != session.Parse6(append(bytes.Clone(p), 0xff, 0xff)[:len(p)], 1, &d) || c != d {
			t.Errorf("%v and %v", c, d)
		}
	})
}

func BenchmarkParse4(b *testing.B) {
	p, out := ip4(6, 0, tcpSyn), session.Packet4{}
	for b.Loop() {
		session.Parse4(p, 0, &out)
	}
}
