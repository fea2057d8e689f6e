package resource_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/policy/resource"
)

// words writes what Parse has made of policies.
func words(f *resource.File) (lines []string) {
	for _, r := range f.Resources {
		p, ok := r.Spec.(*resource.Policy)
		if !ok {
			continue
		}
		lines = append(lines, p.Name+" applies to "+p.Applies.String())
		for i, rules := range [][]resource.Rule{p.In, p.Out} {
			for _, rule := range rules {
				lines = append(lines, []string{"in ", "out "}[i]+strconv.Itoa(rule.Number)+": "+rule.String())
			}
		}
	}
	return lines
}

// TestGolden: each file of testdata is resources and, behind "# want:", what
// comes of them.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := resource.Parse(filepath.Base(name), text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := strings.Join(words(f), "\n")
		for _, r := range f.Resources {
			for _, a := range r.Alarms {
				got += "\nalarm " + a.String()
			}
		}
		for _, a := range f.Alarms {
			got += "\nalarm " + a.String()
		}
		_, want, _ := strings.Cut(string(text), "# want:\n")
		want = strings.TrimSpace(strings.ReplaceAll("\n"+want, "\n# ", "\n"))
		if got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

const calico = "apiVersion: projectcalico.org/v3\nkind: "

// TestErrors: each says where, and what was expected.
func TestErrors(t *testing.T) {
	gnp := calico + "GlobalNetworkPolicy\nmetadata: {name: x}\nspec:\n  "
	knp := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec:\n  "
	for text, want := range map[string]string{
		"a: b: c":             "test.yaml:1:1 (document 1): not YAML: mapping values are not allowed",
		"just words":          `test.yaml:1:1 (document 1): expected fields, found "just words"`,
		"metadata: {name: x}": "test.yaml:1:1 (document 1): kind: expected the kind of a resource, found none",
		"---\n---\n" + calico + "Tier\nspec: {order: 1}":                                                   "test.yaml:3:1 (document 2): metadata.name: expected a name, found none",
		gnp + "selector: app = 'x'":                                                                        "test.yaml:5:17 (document 1): spec.selector: selector: column 5: expected ==",
		gnp + "selector: \"app = 'x'\"":                                                                    "test.yaml:5:18 (document 1): spec.selector: selector: column 5: expected ==",
		gnp + "selector: |\n    app = 'x'":                                                                 "test.yaml:5:13 (document 1): spec.selector: selector: column 5: expected ==",
		gnp + "selektor: all()":                                                                            "test.yaml:5:3 (document 1): spec.selektor: expected one of tier, order, selector,",
		gnp + "order: 1\n  order: 2":                                                                       "test.yaml:6:3 (document 1): spec.order: given twice",
		gnp + "order: first":                                                                               `test.yaml:5:10 (document 1): spec.order: expected a number, found "first"`,
		gnp + "order: .nan":                                                                                "spec.order: expected a number, found none",
		gnp + "ingress: [{action: Drop}]":                                                                  `spec.ingress[0].action: expected Allow, Deny, Log or Pass, found "Drop"`,
		gnp + "ingress: {action: Deny}":                                                                    "spec.ingress: expected a list, found a map",
		gnp + "ingress: [{action: Deny, protocol: 300}]":                                                   `spec.ingress[0].protocol: expected TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or 1 to 255, found "300"`,
		gnp + "ingress: [{action: Deny, ipVersion: 5}]":                                                    "expected 4 or 6, found 5",
		gnp + "ingress: [{action: Deny, destination: {ports: [80]}}]":                                      "destination.ports: expected protocol TCP, UDP or SCTP with it",
		gnp + "ingress: [{action: Deny, protocol: TCP, destination: {ports: ['9:1']}}]":                    "expected a range of ports from low to high",
		gnp + "ingress: [{action: Deny, protocol: TCP, destination: {ports: [70000]}}]":                    "expected a port from 0 to 65535",
		gnp + "ingress: [{action: Deny, source: {nets: [10.0.0.0/33]}}]":                                   "source.nets[0]: expected a prefix such as",
		gnp + "ingress: [{action: Deny, ipVersion: 6, source: {nets: [10.0.0.0/8]}}]":                      "expected prefixes of IPv6",
		gnp + "ingress: [{action: Deny, protocol: TCP, icmp: {type: 8}}]":                                  "tcp has no ICMP types",
		gnp + "ingress: [{action: Deny, protocol: ICMP, icmp: {type: 300}}]":                               "icmp.type: expected a type from 0 to 254",
		gnp + "ingress: [{action: Deny, destination: {services: {name: a, namespace: b}}}]":                "expected on the side that the endpoint talks to",
		gnp + "egress: [{action: Deny, destination: {services: {name: a}}}]":                               "expected name and namespace of a service",
		gnp + "egress: [{action: Deny, protocol: ICMP, destination: {services: {name: a, namespace: b}}}]": "expected TCP, UDP or SCTP with it",
		gnp + "types: [Both]":                                                                              "spec.types[0]: expected Ingress or Egress",
		gnp + "doNotTrack: true":                                                                           "spec.applyOnForward: expected true",
		gnp + "{doNotTrack: true, preDNAT: true, applyOnForward: true}":                                    "expected either doNotTrack or preDNAT",
		gnp + "{preDNAT: true, applyOnForward: true, types: [Egress]}":                                     "expected a policy for ingress only",
		calico + "NetworkPolicy\nmetadata: {name: x}\nspec: {applyOnForward: true}":                        "in a GlobalNetworkPolicy only",
		calico + "Tier\nmetadata: {name: x}\nspec: {defaultAction: Allow}":                                 "expected Deny or Pass",
		calico + "Profile\nmetadata: {name: x}\nspec: {ingress: [{action: Pass}]}":                         "expected Allow, Deny or Log in a profile",
		calico + "HostEndpoint\nmetadata: {name: x}\nspec: {node: n}":                                      "expected interfaceName or expectedIPs",
		calico + "NetworkSet\nmetadata: {name: x}\nspec: {nets: [\"::ffff:10.0.0.0/100\"]}":                "expected a prefix",
		calico + "Tier\nmetadata: {name: x}\n---\n" + calico + "Tier\nmetadata: {name: x}":                 "test.yaml:5:1 (document 2): metadata.name: Tier x is there already, at test.yaml:1:1 (document 1)",
		calico + "Tier\nmetadata: &a {name: x}":                                                            "tags, anchors and aliases are not supported",
		calico + "Tier\nmetadata: {name: x, labels: {a: 1}}":                                               `metadata.labels.a: expected a text, found "1"`,
		calico + "Tier\nmetadata: {name: x, lables: {a: b}}":                                               "metadata.lables: expected one of name, namespace, labels",
		knp + "podSelector: {matchLabels: {a: -}}":                                                         `spec.podSelector.matchLabels.a: expected the value of a label, found "-"`,
		knp + "podSelector: {matchExpressions: [{key: a, operator: In}]}":                                  "expected values with In and NotIn",
		knp + "podSelector: {matchExpressions: [{key: a, operator: Is}]}":                                  "expected In, NotIn, Exists or DoesNotExist",
		knp + "ingress: [{from: [{}]}]":                                                                    "spec.ingress[0].from[0]: expected podSelector, namespaceSelector or ipBlock",
		knp + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]":                  "expected a part of 10.0.0.0/8, found 11.0.0.0/16",
		knp + "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]":                        "expected no selector beside it",
		knp + "ingress: [{ports: [{port: 80, endPort: 79}]}]":                                              "endPort: expected a port from 80 on, found 79",
		knp + "ingress: [{ports: [{port: http, endPort: 79}]}]":                                            "expected a number as port with it",
		knp + "ingress: [{ports: [{port: 0}]}]":                                                            "ports[0].port: expected a port from 1 to 65535, found 0",
		knp + "ingress: [{ports: [{endPort: 79}]}]":                                                        "expected a port with it",
		knp + "ingress: [{ports: [{protocol: ICMP}]}]":                                                     "expected TCP, UDP or SCTP",
		"kind: List\nitems: [{kind: List}]":                                                                "kind: a list in a list",
	} {
		f, err := resource.Parse("test.yaml", []byte(text))
		var e *resource.Error
		if f != nil || !errors.As(err, &e) || !errors.Is(err, resource.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n\tgives %v\n\twant  %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text)
		}
	}
	f.Add([]byte("kind: List\napiVersion: v1\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: x}}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := resource.Parse("fuzz", text)
		if (file == nil) == (err == nil) {
			t.Fatalf("%v and %v", file, err)
		}
		if err != nil && !errors.Is(err, resource.ErrInvalid) {
			t.Fatal(err)
		}
	})
}
