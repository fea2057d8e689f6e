package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
)

// A cluster is pods and policies for benchmarks: 100 namespaces, 10 apps in each,
// policies of both kinds that select an app each and allow another.
type cluster struct {
	pods  []policy.Workload
	files []resource.Resource
}

const (
	benchNamespaces = 100
	benchApps       = 10
)

func newCluster(tb testing.TB, pods, local, policies int) cluster {
	var c cluster
	for i := range pods {
		namespace := fmt.Sprintf("ns%d", i%benchNamespaces)
		w := policy.Workload{
			ID: fmt.Sprintf("id%d", i), Namespace: namespace, Name: fmt.Sprintf("pod%d", i),
			Labels: map[string]string{"app": fmt.Sprintf("app%d", i/benchNamespaces%benchApps),
				"version": fmt.Sprintf("v%d", i%3), "pod-template-hash": fmt.Sprintf("%08x", i)},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
				netip.AddrFrom16([16]byte{0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})},
		}
		if i < local {
			w.Local, w.Interface = true, "tun-"+w.ID
		}
		c.pods = append(c.pods, w)
	}
	var text strings.Builder
	for i := range benchNamespaces {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ns%d, labels: {team: t%d}}\n", i, i%10)
	}
	for i := range policies {
		namespace, app, other := i%benchNamespaces, i/benchNamespaces%benchApps, (i/benchNamespaces+1)%benchApps
		if i%2 == 0 {
			fmt.Fprintf(&text, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p%d, namespace: ns%d}\n"+
				"spec:\n  podSelector: {matchLabels: {app: app%d}}\n  ingress:\n  - from: [{podSelector: {matchLabels: {app: app%d}}}]\n    ports: [{port: 80}]\n"+
				"  - from: [{namespaceSelector: {matchLabels: {team: t%d}}}]\n    ports: [{port: 9090}]\n", i, namespace, app, other, i%10)
			continue
		}
		fmt.Fprintf(&text, "---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: p%d, namespace: ns%d}\n"+
			"spec:\n  selector: app == 'app%d'\n  ingress:\n  - {action: Allow, protocol: TCP, source: {selector: app == 'app%d'}, destination: {ports: [80]}}\n"+
			"  egress:\n  - {action: Allow, protocol: TCP, destination: {selector: app != 'app%d', ports: [80]}}\n", i, namespace, app, other, app)
	}
	f, err := resource.Parse("bench.yaml", []byte(text.String()))
	if err != nil {
		tb.Fatal(err)
	}
	c.files = f.Resources
	return c
}

func (c cluster) engine(tb testing.TB) *policy.Engine {
	e := policy.New(policy.Options{})
	for _, w := range c.pods {
		if err := e.SetWorkload(w); err != nil {
			tb.Fatal(err)
		}
	}
	if err := e.Replace("bench", c.files...); err != nil {
		tb.Fatal(err)
	}
	commit(tb, e)
	return e
}

// BenchmarkFromNothing is all of it at once, without reading YAML.
func BenchmarkFromNothing(b *testing.B) {
	for _, local := range []int{100, 10000} {
		b.Run(fmt.Sprintf("pods=10000/local=%d/policies=1000", local), func(b *testing.B) {
			c := newCluster(b, 10000, local, 1000)
			for b.Loop() {
				c.engine(b)
			}
		})
	}
}

// BenchmarkLabelChange: one label of one pod changes, to and fro. That of app
// moves it between sets and gives it other rules; that of version does nothing.
func BenchmarkLabelChange(b *testing.B) {
	for _, local := range []int{100, 10000} {
		for _, label := range []string{"app", "version"} {
			b.Run(fmt.Sprintf("pods=10000/local=%d/policies=1000/label=%s", local, label), func(b *testing.B) {
				c := newCluster(b, 10000, local, 1000)
				e := c.engine(b)
				w := c.pods[7]
				was := w.Labels[label]
				for i := 0; b.Loop(); i++ {
					w.Labels = map[string]string{"app": w.Labels["app"], "version": w.Labels["version"]}
					w.Labels[label] = []string{"app3", was}[i%2]
					if err := e.SetWorkload(w); err != nil {
						b.Fatal(err)
					}
					commit(b, e)
				}
			})
		}
	}
}

// BenchmarkFirstPolicy: a pod becomes the first here that a policy selects whose
// sets nobody has asked for yet: 300 to 1,000 members in each family.
func BenchmarkFirstPolicy(b *testing.B) {
	c := newCluster(b, 10000, 100, 1000)
	e := c.engine(b)
	for i := 0; b.Loop(); i++ {
		w := c.pods[i%100] // one in each namespace: no two share a set of apps
		w.Labels = map[string]string{"app": fmt.Sprintf("app%d", 1+i/100%(benchApps-1))}
		if err := e.SetWorkload(w); err != nil {
			b.Fatal(err)
		}
		commit(b, e)
	}
}

// BenchmarkManyPolicies is the worst case: 1,000 policies select each pod, and a
// label of one changes so that one more does. Each change there compiles 1,001
// rules; each change back finds the program that the others have.
func BenchmarkManyPolicies(b *testing.B) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: g%d}\nspec:\n"+
			"  ingress:\n  - {action: Allow, protocol: TCP, source: {selector: app == 'app%d'}, destination: {ports: [%d]}}\n", i, i%benchApps, i+1)
	}
	text.WriteString("---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: one}\nspec: {selector: x == 'y'}\n")
	c := newCluster(b, 10000, 100, 0)
	e := c.engine(b)
	load(b, e, text.String())
	commit(b, e)
	w := c.pods[3]
	for i := 0; b.Loop(); i++ {
		w.Labels = map[string]string{"app": "app1", "x": []string{"y", "n"}[i%2]}
		if err := e.SetWorkload(w); err != nil {
			b.Fatal(err)
		}
		commit(b, e)
	}
}

// BenchmarkParse reads the YAML of 1,000 policies.
func BenchmarkParse(b *testing.B) {
	one := "---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: p%d}\nspec:\n  selector: app == 'x'\n" +
		"  ingress:\n  - {action: Allow, protocol: TCP, source: {selector: app == 'y'}, destination: {ports: [80]}}\n"
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, one, i)
	}
	for b.Loop() {
		if _, err := resource.Parse("x", []byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
