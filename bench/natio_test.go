package bench

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
)

// serviceYAML is a ClusterIP of one backend, the second pod.
const serviceYAML = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{name: t, protocol: TCP, port: 80}, {name: u, protocol: UDP, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [` + lab.OtherPodAddr + `], conditions: {ready: true}}]
ports: [{name: t, protocol: TCP, port: 8080}, {name: u, protocol: UDP, port: 8080}]
`

// serviceRules is what the kernel has it by.
const serviceRules = "table ip bench {\n chain pre {\n  type nat hook prerouting priority dstnat\n" +
	"  ip daddr 10.96.0.10 meta l4proto { tcp, udp } th dport 80 dnat to " + lab.OtherPodAddr + ":8080\n }\n}\n"

// BenchmarkServicePodToPod is BenchmarkPodToPod by a ClusterIP; the kernel has it
// in nftables, as kube-proxy does.
func BenchmarkServicePodToPod(b *testing.B) {
	skein, kernel := servicePairs(b)
	by := func(from, to *lab.Namespace, streams int) float64 {
		rate, err := lab.Transfer{From: from, To: to, Addr: netip.MustParseAddrPort(lab.OtherPodAddr + ":8080"),
			By: netip.MustParseAddrPort("10.96.0.10:80"), Streams: streams, Blind: true}.Run(b.Context())
		lab.Need(b, err)
		return rate.Gbps()
	}
	for _, streams := range []int{1, 4} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			for b.Loop() {
				compare(b, func() float64 { return by(skein.PodA, skein.PodB, streams) },
					func() float64 { return by(kernel.PodA, kernel.PodB, streams) })
			}
		})
	}
}
