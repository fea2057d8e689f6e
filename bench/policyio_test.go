package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
)

// BenchmarkPolicyPodToPod is BenchmarkPodToPod with so many rules for what the
// second pod receives, none of which matches but the last. Skein reads them from
// a NetworkPolicy; the kernel has them in an nftables chain, behind a rule that
// accepts what conntrack knows, as Kubernetes' Linux data planes have it.
func BenchmarkPolicyPodToPod(b *testing.B) {
	for _, rules := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			skein, kernel := ruledPairs(b, rules)
			betweenPods(b, skein, kernel, lab.OtherPodAddr, bulk)
		})
	}
}

// others returns an address and a port that no packet of the benchmark has.
func others(i int) (addr string, port int) {
	return fmt.Sprintf("172.16.%d.%d", i>>8, i&255), 1 + i%1000
}

func networkPolicy(rules int) string {
	var b strings.Builder
	b.WriteString("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: many, namespace: default}\n" +
		"spec:\n  podSelector: {matchLabels: {app: b}}\n  policyTypes: [Ingress]\n  ingress:\n")
	for i := range rules - 1 {
		addr, port := others(i)
		fmt.Fprintf(&b, "  - {from: [{ipBlock: {cidr: %s/32}}], ports: [{protocol: TCP, port: %d}]}\n", addr, port)
	}
	b.WriteString("  - {}\n")
	return b.String()
}

func nftables(rules int) string {
	var b strings.Builder
	b.WriteString("table ip bench {\n chain many {\n")
	for i := range rules - 1 {
		addr, port := others(i)
		fmt.Fprintf(&b, "  ip saddr %s tcp dport %d accept\n", addr, port)
	}
	fmt.Fprintf(&b, "  accept\n }\n chain forward {\n  type filter hook forward priority 0; policy drop;\n"+
		"  ct state established,related accept\n  ip daddr %s goto many\n  accept\n }\n}\n", lab.OtherPodAddr)
	return b.String()
}
