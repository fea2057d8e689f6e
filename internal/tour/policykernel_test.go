package tour_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A kernelRule is one that Calico's policies and nftables can both say.
type kernelRule struct {
	allow     bool
	proto     string // "TCP", "UDP", "ICMP" or any
	peer, not bool   // the other end is in nets, or is not
	nets      [2]string
	first     int // destination ports; 0: any
	last      int
}

// randomRule returns a rule about a pod whose peer has these addresses.
func randomRule(rnd *rand.Rand, peer [2]string) kernelRule {
	r := kernelRule{allow: rnd.IntN(3) > 0, proto: []string{"TCP", "UDP", "ICMP", ""}[rnd.IntN(4)], nets: peer}
	if r.peer = rnd.IntN(2) == 0; r.peer {
		r.not = rnd.IntN(4) == 0
		if rnd.IntN(3) == 0 {
			r.nets = [2]string{"192.0.2.0/24", "2001:db8:9::/64"} // somebody else
		}
	}
	if r.proto == "TCP" || r.proto == "UDP" {
		if r.first = []int{0, 53, 80, 54}[rnd.IntN(4)]; r.first != 0 {
			r.last = r.first + rnd.IntN(2)*30
		}
	}
	return r
}

// yaml writes the rule as Calico has it. ICMP has a name for each family.
func (r kernelRule) yaml(ingress bool) (out []string) {
	protos := []string{r.proto}
	if r.proto == "ICMP" {
		protos = []string{"ICMP", "ICMPv6"}
	}
	for _, proto := range protos {
		line := "{action: " + map[bool]string{true: "Allow", false: "Deny"}[r.allow]
		if proto != "" {
			line += ", protocol: " + proto
		}
		var src, dst []string
		if r.peer {
			nets := fmt.Sprintf("%s: ['%s', '%s']", map[bool]string{true: "notNets", false: "nets"}[r.not], r.nets[0], r.nets[1])
			if ingress {
				src = append(src, nets)
			} else {
				dst = append(dst, nets)
			}
		}
		if r.first != 0 {
			dst = append(dst, fmt.Sprintf("ports: ['%d:%d']", r.first, r.last))
		}
		for name, side := range map[string][]string{"source": src, "destination": dst} {
			if len(side) > 0 {
				line += ", " + name + ": {" + strings.Join(side, ", ") + "}"
			}
		}
		out = append(out, line+"}")
	}
	return out
}

// nft writes the rule for each family.
func (r kernelRule) nft(ingress bool) (out []string) {
	for i, family := range []string{"ip", "ip6"} {
		line := "meta nfproto " + []string{"ipv4", "ipv6"}[i]
		if r.peer {
			side, is := "daddr", ""
			if ingress {
				side = "saddr"
			}
			if r.not {
				is = "!= "
			}
			line += fmt.Sprintf(" %s %s %s%s", family, side, is, r.nets[i])
		}
		switch {
		case r.proto == "ICMP":
			line += " meta l4proto " + []string{"icmp", "ipv6-icmp"}[i]
		case r.first != 0:
			line += fmt.Sprintf(" %s dport %d-%d", strings.ToLower(r.proto), r.first, r.last)
		case r.proto != "":
			line += " meta l4proto " + strings.ToLower(r.proto)
		}
		out = append(out, line+map[bool]string{true: " return", false: " drop"}[r.allow])
	}
	return out
}

// rulesAt are those of one pod in one direction; nil: no policy selects it.
type rulesAt map[string][]kernelRule // "a ingress"

func randomRules(rnd *rand.Rand) rulesAt {
	all := rulesAt{}
	for _, at := range []struct {
		name string
		peer [2]string
	}{{"a", [2]string{lab.OtherPodAddr, lab.OtherPodAddr6}}, {"b", [2]string{lab.PodAddr, lab.PodAddr6}}} {
		for _, way := range []string{" ingress", " egress"} {
			if rnd.IntN(4) == 0 {
				continue
			}
			rules := []kernelRule{}
			for range rnd.IntN(4) {
				rules = append(rules, randomRule(rnd, at.peer))
			}
			all[at.name+way] = rules
		}
	}
	return all
}

// resources returns a policy for each pod and direction.
func (all rulesAt) resources() string {
	var b strings.Builder
	for _, at := range []string{"a ingress", "a egress", "b ingress", "b egress"} {
		pod, way, _ := strings.Cut(at, " ")
		rules, has := all[at]
		selector, lines := "app == '"+pod+"'", []string{}
		if !has {
			selector = "app == 'nobody'"
		}
		for _, r := range rules {
			lines = append(lines, r.yaml(way == "ingress")...)
		}
		fmt.Fprintf(&b, "---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: %s-%s, namespace: default}\nspec:\n  selector: %s\n  types: [%s]\n  %s: [%s]\n",
			pod, way, selector, map[string]string{"ingress": "Ingress", "egress": "Egress"}[way], way, strings.Join(lines, ", "))
	}
	return b.String()
}

// ruleset returns the same for the kernel that forwards between the pods.
func (all rulesAt) ruleset() string {
	var chains, jumps strings.Builder
	for _, at := range []string{"a egress", "b egress", "a ingress", "b ingress"} {
		rules, has := all[at]
		if !has {
			continue
		}
		pod, way, _ := strings.Cut(at, " ")
		fmt.Fprintf(&chains, "  chain %s-%s {\n", pod, way)
		for _, r := range rules {
			for _, line := range r.nft(way == "ingress") {
				fmt.Fprintf(&chains, "    %s\n", line)
			}
		}
		chains.WriteString("    drop\n  }\n")
		fmt.Fprintf(&jumps, "    %s cali-%s jump %s-%s\n", map[string]string{"ingress": "oifname", "egress": "iifname"}[way], pod, pod, way)
	}
	return "flush ruleset\ntable inet p {\n" + chains.String() +
		"  chain forward {\n    type filter hook forward priority 0; policy accept;\n    ct state established,related accept\n" + jumps.String() + "  }\n}\n"
}

// outcomes tries all probes at the same time and returns which are open.
func outcomes(probes []wish, wait time.Duration) []bool {
	open := make([]bool, 2*len(probes))
	var wg sync.WaitGroup
	for i, w := range probes {
		for j, addr := range []string{w.to.v4, w.to.v6} {
			wg.Go(func() { open[2*i+j] = try(w, addr, wait) == nil })
		}
	}
	wg.Wait()
	return open
}

// probesOf are all that two pods ask each other.
func probesOf(a, b *scenePod) (all []wish) {
	for _, way := range [][2]*scenePod{{a, b}, {b, a}} {
		for _, what := range []wish{{proto: "tcp", port: 80}, {proto: "tcp", port: 3306}, {proto: "udp", port: 53}, {proto: "udp", port: 80}, {proto: "icmp"}} {
			all = append(all, wish{from: way[0].ns, to: way[1], proto: what.proto, port: what.port})
		}
	}
	return all
}

// TestPolicyLikeKernel has random policies enforced by Skein and by nftables with
// connection tracking, and tries the same with real sockets: TCP, UDP and echo
// requests, both directions, both families.
func TestPolicyLikeKernel(t *testing.T) {
	const policies = 12
	tr := newTour(t, tour.Options{Driver: "af_packet"})
	_, c := start(t, tr)
	kernel, err := tr.Lab.KernelPair()
	if err != nil {
		t.Fatal(err)
	}
	pods := func(a, b *lab.Namespace) []wish {
		one, two := &scenePod{a, lab.PodAddr, lab.PodAddr6}, &scenePod{b, lab.OtherPodAddr, lab.OtherPodAddr6}
		for _, port := range scenePorts {
			one.serve(t, port)
			two.serve(t, port)
		}
		return probesOf(one, two)
	}
	skein, linux := pods(tr.PodA, tr.PodB), pods(kernel.PodA, kernel.PodB)
	rnd := rand.New(rand.NewPCG(20, 26))
	file, opened := filepath.Join(t.TempDir(), "rules.nft"), 0
	for i := range policies {
		rules := randomRules(rnd)
		apply(t, c, "random.yaml", rules.resources())
		if err := os.WriteFile(file, []byte(rules.ruleset()), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := kernel.Node.Exec(t.Context(), "nft", "-f", file); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, rules.ruleset())
		}
		got, want := outcomes(skein, 400*time.Millisecond), outcomes(linux, 400*time.Millisecond)
		if !slices.Equal(got, want) { // or the machine is busy
			got, want = outcomes(skein, 4*time.Second), outcomes(linux, 4*time.Second)
		}
		for n := range got {
			if got[n] {
				opened++
			}
			if got[n] != want[n] {
				w := skein[n/2]
				t.Errorf("policy %d: %s to %s, %s %d, family %d: open %v, Linux %v\n%s\n%s", i, w.from.Name(), w.to.ns.Name(), w.proto, w.port, 4+n%2*2, got[n], want[n],
					rules.resources(), rules.ruleset())
			}
		}
	}
	if all := policies * 2 * len(skein); opened < all/10 || opened > all*9/10 {
		t.Errorf("%d of %d probes were open: that says little", opened, all)
	}
}
