package dhcprelay

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"
)

// Each question that is not relayed is counted as what it is. Nothing is
// sent.
func TestStats(t *testing.T) {
	here := netip.AddrFrom4([4]byte{127, 0, 0, 1}) // the node itself, which is refused
	r := New(Config{Server: here}, zap.NewNop())
	l := &link{name: "tun0", mac: podMAC, tokens: burst, filled: time.Now()}
	r.links["tun0"] = l
	alien := question(typeDiscover)
	alien[33]++
	for _, b := range [][]byte{nil, alien, question(typeDiscover)} {
		r.take(l, b)
	}
	l.filled = time.Now().Add(time.Hour) // from when on it may ask again
	r.take(l, question(typeDiscover))
	want := Counters{Refused: 2, Unsent: 1, Limited: 1, Why: "too many questions"}
	s := r.Stats()
	if len(s.Links) != 1 || s.Links[0].Counters != want || s.Links[0].Name != "tun0" || s.Links[0].MAC != podMAC || s.Server != here || s.Addr.IsValid() {
		t.Errorf("%+v, want %+v", s, want)
	}
	if err := r.back(&upstream{addr: here}, question(2)); err == nil || r.Stats().Stray != 1 {
		t.Errorf("an answer to nobody: %v, %+v", err, r.Stats())
	}
}
