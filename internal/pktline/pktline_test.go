package pktline_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/pktline"
)

// Lines as Format writes them; Parse makes packets of them that Format writes
// the same way.
var lines = []string{
	"10.0.0.1 > 10.0.0.2: udp 4000 > 53 ttl 64 len 16",
	"10.0.0.1 > 10.0.0.2: udp 4000 > 53 ttl 1 tos 0xb8 df len 0",
	"10.0.0.1 > 10.0.0.2: tcp 1 > 80 flags SAEC seq 7 ack 9 ttl 64 len 100",
	"10.0.0.1 > 10.0.0.2: tcp 1 > 80 flags FRPU seq 4294967295 ack 0 ttl 64 len 3",
	"10.0.0.1 > 10.0.0.2: icmp echo-request id 1 seq 2 ttl 64 len 56",
	"10.0.0.1 > 10.0.0.2: icmp echo-reply id 1 seq 2 ttl 64 df len 56",
	"10.0.0.1 > 10.0.0.2: proto 47 ttl 64 mf len 16",
	"10.0.0.1 > 10.0.0.2: proto 17 ttl 64 offset 1480 len 16",
	"02:00:00:00:00:01 > 02:00:00:00:00:02: 10.0.0.1 > 10.0.0.2: udp 1 > 2 ttl 64 len 30",
	"02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: arp who-has 10.0.0.2 tell 10.0.0.1",
	"02:00:00:00:00:01 > 02:00:00:00:00:02: arp 10.0.0.1 is-at 02:00:00:00:00:01 tell 10.0.0.2",
	"02:00:00:00:00:01 > 02:00:00:00:00:02: vlan 7 10.0.0.1 > 10.0.0.2: udp 1 > 2 ttl 64 len 30",
	"2001:db8::1 > 2001:db8::2: udp 1 > 2 ttl 64 len 24",
	"2001:db8::1 > 2001:db8::2: tcp 1 > 2 flags SA seq 1 ack 2 ttl 1 tos 0xb8 len 24",
	"2001:db8::1 > 2001:db8::2: hbh dstopts routing 4 ah frag 0 mf udp 1 > 2 ttl 64 len 24",
	"2001:db8::1 > 2001:db8::2: frag 1448 mf proto 17 ttl 64 len 24",
	"2001:db8::1 > 2001:db8::2: icmp6 echo-request id 1 seq 2 ttl 64 len 24",
	"02:00:00:00:00:01 > 02:00:00:00:00:02: vlan 7 2001:db8::1 > 2001:db8::2: udp 1 > 2 ttl 64 len 30",
	"2001:db8::1 > 2001:db8::2: proto 59 ttl 64 len 0",
	"2001:db8::1 > 2001:db8::2: icmp6 type 130 code 0 ttl 64 len 0",
	"02:00:00:00:00:01 > 33:33:00:00:00:01: fe80::1 > ff02::1: icmp6 router-advert ttl 255 len 40",
	"02:00:00:00:00:01 > 33:33:ff:00:00:02: fe80::1 > ff02::1:ff00:2: icmp6 neighbor-solicit 2001:db8::2 lladdr 02:00:00:00:00:01 ttl 255 len 0",
	"02:00:00:00:00:01 > 33:33:ff:00:00:02: :: > ff02::1:ff00:2: icmp6 neighbor-solicit 2001:db8::2 ttl 255 len 0",
	"02:00:00:00:00:01 > 02:00:00:00:00:02: fe80::1 > fe80::2: icmp6 neighbor-advert 2001:db8::2 flags OSR lladdr 02:00:00:00:00:01 ttl 255 len 0",
}

func TestRoundTrip(t *testing.T) {
	for _, line := range lines {
		p, err := pktline.Parse(line)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := pktline.Format(p, strings.HasPrefix(line, "02:")); got != line {
			t.Errorf("wrote %q\nread  %q", got, line)
		}
	}
}

func TestSums(t *testing.T) {
	for _, line := range lines {
		p, err := pktline.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(line, "10.") {
			continue
		}
		if (*hdr.IPv4)(p).Sum20() != 0xffff {
			t.Errorf("%s: bad header checksum", line)
		}
		if (*hdr.IPv4)(p).Len() != len(p) {
			t.Errorf("%s: length %d of %d", line, (*hdr.IPv4)(p).Len(), len(p))
		}
	}
}

func TestHex(t *testing.T) {
	p, err := pktline.Parse("hex 0001fe")
	if err != nil || !bytes.Equal(p, []byte{0, 1, 0xfe}) {
		t.Errorf("% x, %v", p, err)
	}
}

// The error says which word is wrong.
func TestErrors(t *testing.T) {
	tests := []struct{ line, want string }{
		{"", "ParseAddr"},
		{"10.0.0.1", `"" where ">" was expected`},
		{"10.0.0.1 > nobody: udp 1 > 2", "nobody"},
		{"10.0.0.1 > 2001:db8::1: udp 1 > 2", "one address is IPv4"},
		{"10.0.0.1 > 10.0.0.2: gre", `"gre" where udp, tcp, icmp or proto was expected`},
		{"10.0.0.1 > 10.0.0.2: icmp6 echo-request", "icmp6 in an IPv4 packet"},
		{"2001:db8::1 > 2001:db8::2: icmp6 hello", "icmp6 type"},
		{"2001:db8::1 > 2001:db8::2: icmp6 neighbor-solicit nobody", "nobody"},
		{"2001:db8::1 > 2001:db8::2: frag 70000 udp 1 > 2", "70000"},
		{"10.0.0.1 > 10.0.0.2: udp 1", `where ">" was expected`},
		{"10.0.0.1 > 10.0.0.2: udp 1 > 65536", "65536"},
		{"10.0.0.1 > 10.0.0.2: udp 1 > 2 colour 7", `"colour" is not an option here`},
		{"10.0.0.1 > 10.0.0.2: udp 1 > 2 offset 7", "offset"},
		{"10.0.0.1 > 10.0.0.2: tcp 1 > 2 flags XY seq 1", "XY"},
		{"10.0.0.1 > 10.0.0.2: icmp hello", "hello"},
		{"arp who-has 10.0.0.1 tell 10.0.0.2", "arp needs link addresses"},
		{"02:00:00:00:00:01 > 02:00:00:00:00:02: arp who-has 10.0.0.1", `where "tell" was expected`},
		{"hex 0x", "invalid byte"},
	}
	for _, test := range tests {
		if _, err := pktline.Parse(test.line); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one with %q", test.line, err, test.want)
		}
	}
}

// Whatever the words, Parse returns, and Format writes what Parse has made.
func FuzzParse(f *testing.F) {
	for _, line := range lines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := pktline.Parse(line)
		if err != nil {
			return
		}
		pktline.Format(p, true)
		pktline.Format(p, false)
	})
}

// What is no IP header is bytes.
func TestFormatShort(t *testing.T) {
	for _, s := range []string{"", "45", "45000044000000004011466d0a010007c63364", "6000"} {
		p, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := pktline.Format(p, false); got != strings.TrimSpace("hex "+s) && got != "hex "+s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, line := range lines {
		p, err := pktline.Parse(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p, strings.HasPrefix(line, "02:"))
	}
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, p []byte, ethernet bool) {
		if s := pktline.Format(p, ethernet); s == "" || strings.ContainsAny(s, "\n\r") {
			t.Errorf("%s became %q", hex.EncodeToString(p), s)
		}
	})
}
