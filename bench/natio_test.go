package bench

import (
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
	facing(b, byService(skein.PodA, skein.PodB), byService(kernel.PodA, kernel.PodB), bulk)
}

// byService is a path by the ClusterIP.
func byService(from, to *lab.Namespace) path {
	return path{from, to, netip.MustParseAddrPort(lab.OtherPodAddr + ":8080"), netip.MustParseAddrPort("10.96.0.10:80")}
}
