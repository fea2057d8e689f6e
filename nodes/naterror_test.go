package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/session"
)

// An ICMP error about a flow reaches who is to be told, and neither renews the
// flow's session nor ends it, whatever it says (RFC 5508, REQ-6).
func TestErrorsRenewNothing(t *testing.T) {
	w := newWhole(t, aNode+"\nnat pool 10.1.0.0/16")
	w.Now = 1e12
	w.step(t, "in pod1", "10.1.0.7 > 8.8.8.8: udp 2000 > 53")
	w.advance(t, 1e6)
	if sent := w.sent(); len(sent) != 1 {
		t.Fatalf("sent %q", sent)
	}
	r := w.Flows.Table.Next(0)
	if r == 0 {
		t.Fatal("there is no session")
	}
	before := *w.Flows.Table.At(r)
	for _, kind := range []string{"unreachable code 0", "unreachable code 1", "unreachable code 3", "unreachable code 13", "time-exceeded"} {
		w.advance(t, 10e9)
		w.step(t, "in eth0", "02:00:00:00:00:01 > 02:00:00:00:00:10: 9.9.9.9 > 192.0.2.10: icmp "+kind+" [192.0.2.10 > 8.8.8.8: udp 2000 > 53]")
		w.advance(t, 1e6)
		if sent := w.sent(); len(sent) != 1 {
			t.Fatalf("%s: sent %q, dropped %q", kind, sent, w.newDrops())
		}
		if now := *w.Flows.Table.At(r); now.Last != before.Last || now.Class() != session.UDPUnreplied {
			t.Errorf("%s: the session was seen at %d and is %v, and at %d before", kind, now.Last, now.Class(), before.Last)
		}
	}
}
