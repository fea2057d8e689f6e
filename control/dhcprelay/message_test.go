package dhcprelay

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
)

var podMAC = hdr.MAC{2, 0, 0, 0, 0, 5}

// question makes what a client sends, with further options.
func question(kind byte, options ...byte) []byte {
	b := make([]byte, fixedLen)
	b[0], b[1], b[2] = bootRequest, 1, 6
	copy(b[4:], "xid!")
	copy(b[28:], podMAC[:])
	copy(b[236:], cookie)
	b = append(b, optType, 1, kind)
	return append(append(b, options...), optEnd)
}

func TestParseRefuses(t *testing.T) {
	for want, spoil := range map[string]func([]byte) []byte{
		"from 240 to":        func(b []byte) []byte { return b[:239] },
		"which is not Ether": func(b []byte) []byte { b[2] = 16; return b },
		"BOOTP without DHCP": func(b []byte) []byte { b[239] = 0; return b },
		"do not end":         func(b []byte) []byte { return b[:len(b)-1] },
		"1473 bytes":         func(b []byte) []byte { return append(b, make([]byte, 1473-len(b))...) },
	} {
		if _, err := parse(spoil(question(typeDiscover))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, b := range [][]byte{question(1, 12), question(1, 12, 200, 1), question(1, 12, 255)} { // options cut off
		if m, err := parse(b); err == nil {
			t.Errorf("accepted %x", []byte(m[fixedLen:]))
		}
	}
}

// TestOptions: the relay's option goes behind all others and comes off again,
// and nothing else changes.
func TestOptions(t *testing.T) {
	was, err := parse(question(typeDiscover, optPad, optPad, 12, 3, 'p', 'o', 'd'))
	if err != nil {
		t.Fatal(err)
	}
	m, ok := was.with(optRelay, []byte{subLinkRange, 4, 10, 244, 3, 0})
	if !ok || len(m) != minLen {
		t.Fatalf("%d bytes (%v)", len(m), ok)
	}
	if !bytes.HasPrefix(m, was[:len(was)-1]) || !bytes.Equal(m[len(was)-1:][:9], []byte{optRelay, 6, subLinkRange, 4, 10, 244, 3, 0, optEnd}) {
		t.Errorf("%x", []byte(m[fixedLen:]))
	}
	if v := m.value(12); string(v) != "pod" || m.kind() != typeDiscover {
		t.Errorf("host name %q, type %d", v, m.kind())
	}
	m = m.without(optRelay)
	if !bytes.HasPrefix(m, was) || slices.ContainsFunc(m[len(was):], func(b byte) bool { return b != 0 }) {
		t.Errorf("%x", []byte(m[fixedLen:]))
	}
	full, err := parse(append(question(typeDiscover)[:243], append(bytes.Repeat([]byte{0}, maxLen-244), optEnd)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := full.with(optRelay, []byte{1}); ok {
		t.Error("an option where there is no room")
	}
}

// TestAccept: one client, and only what clients say.
func TestAccept(t *testing.T) {
	l := &link{mac: podMAC}
	id := []byte{optClientID, 3, 0, 'a', '/'}
	for i, c := range []struct {
		b    []byte
		edit func([]byte)
		want string
	}{
		{question(typeDiscover, id...), nil, ""},
		{question(typeRequest, id...), nil, ""},
		{question(typeRelease, id...), nil, ""},
		{question(2, id...), nil, "message type 2"},
		{question(typeDiscover, id...), func(b []byte) { b[0] = bootReply }, "answers"},
		{question(typeDiscover, id...), func(b []byte) { b[33]++ }, "client 02:00:00:00:00:06"},
		{question(typeDiscover, id...), func(b []byte) { b[3] = 1 }, "relays"},
		{question(typeDiscover, id...), func(b []byte) { b[27] = 1 }, "relays"},
		{question(typeDiscover, append(id, optRelay, 0)...), nil, "relays"},
		{question(typeDiscover, optClientID, 1, 'b'), nil, "second client"},
		{question(typeDiscover), nil, "second client"},
		{question(typeRequest, id...), nil, ""},
	} {
		if c.edit != nil {
			c.edit(c.b)
		}
		m, err := parse(c.b)
		if err == nil {
			err = l.accept(m)
		}
		if got := errorText(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRate(t *testing.T) {
	now := time.Unix(0, 0)
	l := &link{tokens: burst, filled: now}
	asked := 0
	for range 1000 { // 10 s
		if l.mayAsk(now) {
			asked++
		}
		now = now.Add(10 * time.Millisecond)
	}
	if want := burst + 10*perSecond; asked < int(want)-1 || asked > int(want) {
		t.Errorf("%d questions, want %v", asked, want)
	}
}

// TestFrame: the answer's headers, by which address and to whom.
func TestFrame(t *testing.T) {
	r := New(Config{MAC: hdr.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}}, nil)
	node := netip.MustParseAddr("10.0.0.21")
	m, err := parse(question(2))
	if err != nil {
		t.Fatal(err)
	}
	m[0] = bootReply
	copy(m[16:], []byte{10, 244, 3, 7})
	for _, bc := range []bool{false, true} {
		to, ip := podMAC, netip.MustParseAddr("10.244.3.7")
		if bc {
			m[10], to, ip = 0x80, hdr.BroadcastMAC, netip.MustParseAddr("255.255.255.255")
		}
		f := r.flight(node, m).frame(m)
		e, h := (*hdr.Ether)(f), (*hdr.IPv4)(f[hdr.EtherLen:])
		u := f[hdr.EtherLen+hdr.IPv4Len:]
		if e.Dst() != to || e.Src() != r.cfg.MAC || h.Dst() != hdr.Addr4From(ip) || h.Src() != hdr.Addr4From(node) || !h.SumsUp() {
			t.Errorf("%x", f[:headersLen])
		}
		if s := hdr.Fold(hdr.Sum(u, uint64(h.PseudoSum(len(u))))); s != 0xffff {
			t.Errorf("UDP checksum: sum %#x", s)
		}
		if got := payload(f); !bytes.Equal(got, m) {
			t.Errorf("%x", got)
		}
	}
}

// FuzzMessage: whatever a pod or a server sends, no more than its own option is
// put in or taken out.
func FuzzMessage(f *testing.F) {
	f.Add(question(typeDiscover))
	f.Add(question(typeRequest, optPad, optClientID, 2, 0, 'x', optRelay, 2, 1, 0))
	f.Add(question(typeInform, optEnd, 12, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		payload(b)
		m, err := parse(b)
		if err != nil {
			return
		}
		l := &link{mac: m.chaddr()}
		_ = l.accept(m)
		_, _, relayed := m.find(optRelay)
		if got, ok := m.with(optRelay, []byte{1, 0}); ok && !relayed {
			if v := got.value(optRelay); !bytes.Equal(v, []byte{1, 0}) {
				t.Fatalf("%x in %x", v, []byte(got))
			}
			end, _, _ := m.find(optEnd)
			if back := got.without(optRelay); !bytes.Equal(back[:end+1], m[:end+1]) {
				t.Fatalf("%x became %x", []byte(m), []byte(back))
			}
		}
		if _, err := parse(m.without(optRelay)); err != nil {
			t.Fatalf("without the option: %v", err)
		}
	})
}
