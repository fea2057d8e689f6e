package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// BenchmarkPods measures small datagrams, superpackets of UDP, connections,
// questions and round trips between two pods, by Skein's TUNs and by the kernel's
// veth pairs and routing: without policy and NAT, with so many rules, and by a
// ClusterIP.
func BenchmarkPods(b *testing.B) {
	b.Run("with=none", func(b *testing.B) {
		skein, kernel := pairs(b, "")
		for _, f := range []struct {
			family, addr string
			loads        []load
		}{
			{"4", lab.OtherPodAddr, []load{small(1), small(2), segments, connects, asks, roundTrip, loaded}},
			{"6", lab.OtherPodAddr6, []load{small(1), segments, connects, roundTrip}},
		} {
			b.Run("family="+f.family, func(b *testing.B) {
				betweenPods(b, skein, kernel, f.addr, f.loads)
			})
		}
		b.Run("family=4/cpus=awake", func(b *testing.B) {
			awake(b)
			betweenPods(b, skein, kernel, lab.OtherPodAddr, []load{connects, asks, roundTrip, loaded})
		})
	})
	for _, rules := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("with=policy/rules=%d", rules), func(b *testing.B) {
			skein, kernel := ruledPairs(b, rules)
			betweenPods(b, skein, kernel, lab.OtherPodAddr, []load{small(1), connects, asks, roundTrip})
		})
	}
	b.Run("with=service", func(b *testing.B) {
		skein, kernel := servicePairs(b)
		facing(b, byService(skein.PodA, skein.PodB), byService(kernel.PodA, kernel.PodB), []load{small(1), connects, asks, roundTrip})
	})
}

// betweenPods measures loads from the first pod to the second, whose address that is.
func betweenPods(b *testing.B, skein *tour.Tour, kernel *lab.KernelPair, addr string, loads []load) {
	b.Helper()
	facing(b, pathTo(skein.PodA, skein.PodB, addr), pathTo(kernel.PodA, kernel.PodB, addr), loads)
}

// pairs returns two pods of Skein, with lines of configuration, and two of the
// kernel.
func pairs(b *testing.B, config string) (*tour.Tour, *lab.KernelPair) {
	b.Helper()
	skein := startSkein(b, tour.Options{Driver: "af_packet", Config: config})
	kernel, err := lab.ForTest(b).KernelPair()
	lab.Need(b, err)
	return skein, kernel
}

// ruledPairs is pairs with so many rules for what the second pod receives.
func ruledPairs(b *testing.B, rules int) (*tour.Tour, *lab.KernelPair) {
	b.Helper()
	skein, kernel := pairs(b, "policy: {files: ["+written(b, "policy.yaml", networkPolicy(rules))+"]}\n")
	nft(b, kernel.Node, nftables(rules))
	return skein, kernel
}

// servicePairs is pairs with a ClusterIP of the second pod.
func servicePairs(b *testing.B) (*tour.Tour, *lab.KernelPair) {
	b.Helper()
	skein, kernel := pairs(b, "services: {files: ["+written(b, "service.yaml", serviceYAML)+"], cidrs: [10.96.0.0/16]}\n")
	nft(b, kernel.Node, serviceRules)
	return skein, kernel
}

// written returns the name of a file with that content.
func written(b *testing.B, name, content string) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), name)
	lab.Need(b, os.WriteFile(file, []byte(content), 0o644))
	return file
}

// nft gives a namespace rules of nftables.
func nft(b *testing.B, at *lab.Namespace, rules string) {
	b.Helper()
	_, err := at.Exec(b.Context(), "nft", "-f", written(b, "rules.nft", rules))
	lab.Need(b, err)
}
