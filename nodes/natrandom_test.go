package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
)

// Random flows through everything that translates, in vectors with one another:
// who is sent something answers it as it came, and the answer comes to who has
// sent the first packet, from where that went to. No two flows look the same
// outside.
func TestTranslationsRoundTrip(t *testing.T) {
	const config = `
		interface eth0 uplink mac 02:00:00:00:00:10 addr 192.0.2.10 peer tap0
		interface tap0 tap mac 02:fe:00:00:00:01 peer eth0
		interface pod1 tun feature ip4-source-check
		interface pod2 tun feature ip4-source-check
		node 10.1.0.1
		punt 192.0.2.10 dev tap0
		local 10.1.0.1
		10.1.0.7 dev pod1
		10.1.0.8 dev pod2
		192.0.2.0/24 dev eth0
		default via 192.0.2.1 dev eth0
		neigh 192.0.2.1 dev eth0 lladdr 02:00:00:00:00:01
		nat own 192.0.2.10
		nat pool 10.1.0.0/16
		nat static 198.51.100.8 10.1.0.8
		nat service web ClusterIP udp 10.96.0.10:80 affinity=100 to 10.1.0.7:80 10.1.0.8:80 10.2.0.9:80
		nat service twin ClusterIP udp 10.96.0.11:80 maglev to 10.1.0.7:80 10.1.0.8:80
		nat service far NodePort udp 0.0.0.0:30080 to 10.2.0.9:80 10.1.0.8:80
		nat service near LoadBalancer udp 203.0.113.5:80 external-local to 10.1.0.7:80,local`
	w := newWhole(t, config)
	w.Now = 1e12
	rng := rand.New(rand.NewPCG(1, 2))
	ends := map[string]string{"pod1": "10.1.0.7", "pod2": "10.1.0.8"}
	ports := map[string]int{}
	for round := range 60 {
		sent := map[string]sentFlow{}
		for i := range 1 + rng.IntN(30) {
			f := randomSent(rng, ends)
			ports[f.src]++ // different senders have the same ports
			f.sport = 1000 + 30*ports[f.src]
			f.tag = fmt.Sprintf("len %d", 100+i)
			sent[f.tag] = f
			w.step(t, "in "+f.in, f.line())
		}
		w.advance(t, 1e6)
		seen := map[string]bool{}
		for _, out := range w.sent() {
			o := parseSent(t, out)
			if look := fmt.Sprint(o.in, o.src, o.sport, o.dst, o.dport); seen[look] {
				t.Fatalf("round %d: two flows leave as %s", round, out)
			} else {
				seen[look] = true
			}
			if strings.HasPrefix(o.src, "10.1.") && o.in == "eth0" && !strings.HasPrefix(o.dst, "10.1.") {
				t.Fatalf("a pod's address leaves: %s", out)
			}
			back := sentFlow{in: o.in, src: o.dst, dst: o.src, sport: o.dport, dport: o.sport, tag: o.tag}
			w.step(t, "in "+back.in, back.line())
		}
		if len(seen) != len(sent) {
			t.Fatalf("round %d: %d of %d flows arrive: %q", round, len(seen), len(sent), w.newDrops())
		}
		w.advance(t, 1e6)
		for _, in := range w.sent() {
			got := parseSent(t, in)
			f := sent[got.tag]
			want := sentFlow{in: f.in, src: f.dst, dst: f.src, sport: f.dport, dport: f.sport, tag: f.tag}
			if got != want {
				t.Fatalf("round %d: %+v is answered by %s", round, f, in)
			}
			delete(sent, got.tag)
		}
		if len(sent) != 0 {
			t.Fatalf("round %d: not answered: %v, drops %q", round, sent, w.newDrops())
		}
	}
}

// A sentFlow is a packet of UDP as seen at an interface; its length tells it
// from others.
type sentFlow struct {
	in, src, dst, tag string
	sport, dport      int
}

// line writes the packet as one that the interface receives.
func (f *sentFlow) line() string {
	s := fmt.Sprintf("%s > %s: udp %d > %d %s", f.src, f.dst, f.sport, f.dport, f.tag)
	if f.in == "eth0" {
		s = "02:00:00:00:00:01 > 02:00:00:00:00:10: " + s
	}
	return s
}

func randomSent(rng *rand.Rand, pods map[string]string) sentFlow {
	f := sentFlow{in: []string{"pod1", "pod2", "eth0"}[rng.IntN(3)]}
	if f.in == "eth0" {
		f.src = fmt.Sprintf("8.8.8.%d", rng.IntN(100))
		to := [][2]any{{"192.0.2.10", 30080}, {"203.0.113.5", 80}, {"198.51.100.8", 80}}[rng.IntN(3)]
		f.dst, f.dport = to[0].(string), to[1].(int)
	} else {
		f.src = pods[f.in]
		to := [][2]any{{"10.96.0.10", 80}, {"10.96.0.11", 80}, {"192.0.2.10", 30080}, {"9.9.9.9", 53}, {"9.9.9.8", 53}}[rng.IntN(5)]
		f.dst, f.dport = to[0].(string), to[1].(int)
	}
	return f
}

// parseSent reads a line of whole.sent.
func parseSent(t *testing.T, s string) (f sentFlow) {
	t.Helper()
	words := strings.Fields(strings.NewReplacer(":", " ").Replace(s))
	at := slices.Index(words, "udp")
	if at < 3 || strings.Contains(s, "BAD") {
		t.Fatalf("not a packet of the test: %s", s)
	}
	f.in, f.src, f.dst = words[0], words[at-3], words[at-1]
	var n int
	if _, err := fmt.Sscanf(strings.Join(words[at+1:], " "), "%d > %d ttl %d len %s", &f.sport, &f.dport, &n, &f.tag); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	f.tag = "len " + f.tag
	return f
}

// What a trace says of a translation, and what the tables behind it hold.
func TestTranslationsInWords(t *testing.T) {
	w := newWhole(t, aNode+`
		nat pool 10.1.0.0/16
		nat service default/web ClusterIP udp 10.96.0.10:80 affinity=60 to 10.1.0.8:8080`)
	w.Now = 1e12
	w.TraceIface(pod1, 3)
	for range 2 {
		w.step(t, "in pod1", "10.1.0.7 > 10.96.0.10: udp 1000 > 80")
		w.advance(t, 1e6)
	}
	w.step(t, "in pod1", "10.1.0.7 > 8.8.8.8: udp 1000 > 53")
	w.advance(t, 1e6)
	var words []string
	for _, r := range w.Traces() {
		if strings.HasPrefix(r.Node, "ip4-service") || strings.HasPrefix(r.Node, "ip4-translate") || r.Node == "ip4-masquerade" {
			words = append(words, fmt.Sprintf("%d %s: %s", r.Packet, r.Node, r.Details))
		}
	}
	want := []string{
		"1 ip4-service: of service default/web, now 10.1.0.7:1000 > 10.1.0.8:8080",
		"1 ip4-masquerade: source is kept: destination excluded",
		"2 ip4-translate: session 1 now 10.1.0.7:1000 > 10.1.0.8:8080",
		"3 ip4-service: ",
		"3 ip4-masquerade: source is to be the node's: the pool has natOutgoing",
	}
	if !slices.Equal(words, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(words, "\n"), strings.Join(want, "\n"))
	}
	clients := 0
	for range func(yield func(nat.AffinityEntry) bool) {
		w.Node("ip4-service").(nodes.AffinityHolder).Affinity().Entries(1, w.Second(), yield)
	} {
		clients++
	}
	if p := w.Node("ip6-open").(nodes.PortHolder).PortStats(); clients != 1 || p != (nat.PortStats{}) {
		t.Errorf("%d clients, %+v", clients, p)
	}
}
