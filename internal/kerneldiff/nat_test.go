package kerneldiff

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// natRules are what Linux is told: two services, the second of which has its
// backend where pods leave for with the router's address.
const natRules = `
table inet nat {
	chain pre {
		type nat hook prerouting priority dstnat
		ip daddr 10.96.0.10 meta l4proto { tcp, udp } th dport 80 dnat ip to 10.2.0.7:8080
		ip daddr 10.96.0.11 meta l4proto { tcp, udp } th dport 80 dnat ip to 10.2.1.7:8080
		ip6 daddr 2001:db8:96::10 meta l4proto { tcp, udp } th dport 80 dnat ip6 to [2001:db8:b::7]:8080
		ip6 daddr 2001:db8:96::11 meta l4proto { tcp, udp } th dport 80 dnat ip6 to [2001:db8:b:1::7]:8080
	}
	chain post {
		type nat hook postrouting priority srcnat
		ip saddr 10.1.0.0/17 oifname "right" ip daddr != 10.2.0.0/24 masquerade
		ip6 saddr 2001:db8:a::/48 oifname "right" ip6 daddr != 2001:db8:b::/64 masquerade
	}
}
`

// natWorld is the same for Skein: pods are behind the left link.
func natWorld(t *testing.T) state.State {
	t.Helper()
	st := world(t)
	st.Ifaces[index(left)].Kind = iface.Tun
	services := new(nat.Services).Edit()
	for i, x := range [][2]string{{"10.96.0.10", "10.2.0.7"}, {"10.96.0.11", "10.2.1.7"}, {"2001:db8:96::10", "2001:db8:b::7"}, {"2001:db8:96::11", "2001:db8:b:1::7"}} {
		svc, err := nat.NewService(nat.Spec{ID: uint32(i + 1), Name: x[0], All: []nat.Backend{{Addr: hdr.Addr6From(addr(x[1])), Port: 8080, Hits: new(uint64)}}})
		need(t, err)
		for _, proto := range []uint8{hdr.ProtoTCP, hdr.ProtoUDP} {
			need(t, services.Set(&nat.Front{Key: nat.FrontKey{Addr: hdr.Addr6From(addr(x[0])), Port: 80, Proto: proto}, Kind: nat.ClusterIP, Service: svc}))
		}
	}
	outgoing, err := nat.NewOutgoing([]nat.Pool{{Prefix: netip.MustParsePrefix("10.1.0.0/17"), NatOutgoing: true}, {Prefix: netip.MustParsePrefix("2001:db8:a::/48"), NatOutgoing: true}},
		[]netip.Prefix{netip.MustParsePrefix("10.2.0.0/24"), netip.MustParsePrefix("2001:db8:b::/64")})
	need(t, err)
	st.NAT = &state.NAT{Services: services.Done(), Statics: new(nat.Statics), Outgoing: outgoing}
	nodes.SetPolicy(&st, &state.Policy{Gen: 1})
	return st
}

// A natFlow is what a pod has begun.
type natFlow struct {
	proto            string
	pod, to          string // as the pod sees them
	source, dest     string // as the far end does
	port, dport, far int
	step             int // of TCP's handshake
}

// line is a packet of the flow: out of the pod, or an answer to it.
func (f *natFlow) line(r *rand.Rand, back bool) string {
	src, dst, sport, dport := f.pod, f.to, f.port, f.dport
	if back {
		src, dst, sport, dport = f.dest, f.source, f.far, f.port
	}
	switch f.proto {
	case "icmp":
		word, kind := "icmp", "echo-request"
		if ipv6(src) {
			word = "icmp6"
		}
		if back {
			kind = "echo-reply"
		}
		return fmt.Sprintf("%s > %s: %s %s id %d seq %d len %d", src, dst, word, kind, f.port, r.IntN(99), r.IntN(64))
	case "udp":
		return fmt.Sprintf("%s > %s: udp %d > %d len %d", src, dst, sport, dport, r.IntN(1000))
	}
	flags := "A"
	switch {
	case f.step == 0:
		flags = "S"
	case f.step == 1:
		flags = "SA"
	}
	return fmt.Sprintf("%s > %s: tcp %d > %d flags %s seq %d ack %d len %d", src, dst, sport, dport, flags, 1000+f.step, 1000, r.IntN(600)*min(1, f.step/3))
}

// next returns a random packet about the flow, and on which link it comes in.
func (f *natFlow) next(r *rand.Rand) (line string, at int) {
	back := r.IntN(2) == 1
	if f.proto == "tcp" && f.step < 3 {
		back = f.step == 1
	} else if f.step == 0 {
		back = false // nobody answers what was not asked
	}
	if f.step > 2 && r.IntN(6) == 0 { // a router on the way has an error to tell
		quote := fmt.Sprintf("%s > %s: udp %d > %d len 20", f.source, f.dest, f.port, f.far)
		switch f.proto {
		case "tcp":
			quote = fmt.Sprintf("%s > %s: tcp %d > %d flags A seq 7 len 20", f.source, f.dest, f.port, f.far)
		case "icmp":
			quote = fmt.Sprintf("%s > %s: icmp echo-request id %d seq 1 len 20", f.source, f.dest, f.port)
			if ipv6(f.source) {
				quote = fmt.Sprintf("%s > %s: icmp6 echo-request id %d seq 1 len 20", f.source, f.dest, f.port)
			}
		}
		kind := []string{"unreachable code 1", "unreachable code 3", "time-exceeded"}[r.IntN(3)]
		if ipv6(f.source) {
			return fmt.Sprintf("2001:db8:b:9::9 > %s: icmp6 %s [%s]", f.source, kind, quote), right
		}
		return fmt.Sprintf("10.2.9.9 > %s: icmp %s [%s]", f.source, kind, quote), right
	}
	line = f.line(r, back)
	f.step++
	if back {
		return line, right
	}
	return line, left
}

// natFlows are flows of each kind, none of which needs another port than its
// own: how a new one is chosen is each side's own business.
func natFlows(v6 bool) (all []*natFlow) {
	router, pod, rests := "198.51.100.1", "10.1.0.%d", [][3]string{ // to, far end, 1: with the router's address
		{"10.96.0.10", "10.2.0.7", ""}, {"10.96.0.11", "10.2.1.7", "1"}, {"10.2.0.9", "10.2.0.9", ""}, {"10.2.1.9", "10.2.1.9", "1"}}
	if v6 {
		router, pod, rests = "2001:db8:2::1", "2001:db8:a::%d", [][3]string{{"2001:db8:96::10", "2001:db8:b::7", ""},
			{"2001:db8:96::11", "2001:db8:b:1::7", "1"}, {"2001:db8:b::9", "2001:db8:b::9", ""}, {"2001:db8:b:1::9", "2001:db8:b:1::9", "1"}}
	}
	for n := range 240 {
		rest := rests[n%len(rests)]
		f := &natFlow{proto: []string{"tcp", "udp", "icmp"}[n/4%3], pod: fmt.Sprintf(pod, n%9+1), to: rest[0], dest: rest[1], port: 2000 + n, dport: 53, far: 53}
		if n%len(rests) < 2 {
			if f.dport, f.far = 80, 8080; f.proto == "icmp" {
				f.proto = "udp"
			}
		}
		if f.source = f.pod; rest[2] != "" {
			f.source = router
		}
		all = append(all, f)
	}
	return all
}

// Linux' nftables and Skein translate the same packets to the same bytes: new
// flows, answers, ICMP errors about them, in random order.
func TestTranslatesAsLinux(t *testing.T) {
	for name, v6 := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) {
			pin(t)
			k, s := newKernel(t), newSkeinOf(t, natWorld(t))
			rules := filepath.Join(t.TempDir(), "rules")
			lab.Need(t, os.WriteFile(rules, []byte(natRules), 0o644))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := k.router.Exec(ctx, "nft", "-f", rules)
			lab.Need(t, err)
			r, flows := rand.New(rand.NewPCG(*flagSeed, 5)), natFlows(v6)
			translated, wrong := 0, 0
			for i := 0; i < 10000 && wrong < *flagMost; i++ {
				line, at := flows[r.IntN(len(flows))].next(r)
				f := frame{at, packetOf(t, line, at)}
				out, err := k.route(f)
				if err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				got := s.routeAfter(t, f, 1e6)
				if len(out) != 1 || !equal(out, got) {
					wrong++
					t.Errorf("packet %d: %s\nkernel: %s\nskein:  %s", i, show(f), shows(out), shows(got))
				}
				if x := newTrial(f, out, got); len(out) == 1 && !x.forwarded(out) {
					translated++
				}
			}
			t.Logf("%d packets of 10,000 were translated", translated)
			if translated < 5000 {
				t.Errorf("%d packets of 10,000 were translated: this tests little", translated)
			}
		})
	}
}

// packetOf is a line on the way to the router.
func packetOf(t *testing.T, line string, at int) []byte {
	t.Helper()
	p, err := pktline.Parse(fmt.Sprintf("%v > %v: %s", hardware(ports[at].station), hardware(ports[at].mac), line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return p
}
