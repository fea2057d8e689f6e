package policy_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
)

// load parses YAML into an Engine, in place of what was loaded before.
func load(t testing.TB, e *policy.Engine, text string) {
	t.Helper()
	f, err := resource.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Replace("test", f.Resources...); err != nil {
		t.Fatal(err)
	}
}

// pod makes a workload of words: "default/client 10.0.0.1 2001:db8::1 app=x http=tcp:80 @sa".
// One that begins with "remote" is another node's.
func pod(t testing.TB, text string) policy.Workload {
	t.Helper()
	text, remote := strings.CutPrefix(text, "remote ")
	w := policy.Workload{Labels: map[string]string{}, Local: !remote}
	for i, word := range strings.Fields(text) {
		key, value, isPair := strings.Cut(word, "=")
		proto, port, isPort := strings.Cut(value, ":")
		switch {
		case i == 0:
			w.ID = word
			w.Namespace, w.Name, _ = strings.Cut(word, "/")
			if w.Local {
				w.Interface = "tun-" + word
			}
		case word[0] == '@':
			w.ServiceAccount = word[1:]
		case isPort && isPair:
			n := netip.MustParseAddrPort("0.0.0.0:" + port).Port()
			w.Ports = append(w.Ports, resource.Port{Name: key, Proto: protoOf(proto), Port: n})
		case isPair:
			w.Labels[key] = value
		default:
			w.Addrs = append(w.Addrs, netip.MustParseAddr(word))
		}
	}
	return w
}

func protoOf(name string) uint8 {
	return map[string]uint8{"icmp": hdr.ProtoICMP, "tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "icmpv6": hdr.ProtoICMPv6, "sctp": hdr.ProtoSCTP}[name]
}

func set(t testing.TB, e *policy.Engine, pods ...string) {
	t.Helper()
	for _, text := range pods {
		if err := e.SetWorkload(pod(t, text)); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t testing.TB, e *policy.Engine) *policy.Change {
	t.Helper()
	c, err := e.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keyOf(src, dst netip.Addr, proto uint8, port uint16) (k acl.Key) {
	const client = 40000
	if src.Is4() {
		k.Set4(hdr.Addr4From(src), hdr.Addr4From(dst), proto, client, port)
	} else {
		k.Set6(hdr.Addr6From(src), hdr.Addr6From(dst), proto, client, port)
	}
	return k
}

// ways of one packet through the two ends of it.
type world struct {
	t    testing.TB
	e    *policy.Engine
	sets *acl.Sets
	ends map[string]*policy.Endpoint
}

func newWorld(t testing.TB, e *policy.Engine) *world {
	w := &world{t: t, e: e, sets: commit(t, e).Sets, ends: map[string]*policy.Endpoint{}}
	for _, end := range e.Endpoints() {
		w.ends[end.Name] = end
	}
	return w
}

// passes judges the first packet of a flow: egress of the one end, ingress of
// the other. Family 1 is IPv4, 2 is IPv6.
func (w *world) passes(from, to, proto string, port uint16, family int) bool {
	src, dst := w.ends[from], w.ends[to]
	k := keyOf(src.Addrs[family-1], dst.Addrs[family-1], protoOf(proto), port)
	for _, p := range []*acl.Program{src.From, dst.To} {
		if p != nil && p.Match(&k, w.sets, nil).Action != acl.Allow {
			return false
		}
	}
	return true
}

func scenario(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFrontendBackend: the reference scenario of Calico's policies. All pairs of
// pods, both families, the ports that policies name and others.
func TestFrontendBackend(t *testing.T) {
	e := policy.New(policy.Options{})
	load(t, e, scenario(t, "frontend-backend.yaml"))
	set(t, e, "default/client 10.244.0.2 fd00::2 app=client", "default/frontend 10.244.0.3 fd00::3 app=frontend",
		"default/backend 10.244.0.4 fd00::4 app=backend", "default/dns 10.244.0.5 fd00::5 app=dns")
	w := newWorld(t, e)
	names := []string{"client", "frontend", "backend", "dns"}
	for _, from := range names {
		for _, to := range names {
			for _, proto := range []string{"tcp", "udp", "sctp", "icmp"} {
				for _, port := range []uint16{53, 80, 3306, 8080} {
					want := from == "client" || from == "dns" // no policy selects them
					switch to {
					case "frontend":
						want = want && proto == "tcp" && port == 80
					case "backend":
						want = from == "frontend" && proto == "tcp" && port == 3306
					}
					for family := 1; family <= 2; family++ {
						if got := w.passes("default/"+from, "default/"+to, proto, port, family); got != want && from != to {
							t.Errorf("%s > %s %s %d: %v, want %v", from, to, proto, port, got, want)
						}
					}
				}
			}
		}
	}
}

// TestAccessNginx: the reference scenario of Kubernetes' policies.
func TestAccessNginx(t *testing.T) {
	e := policy.New(policy.Options{})
	load(t, e, scenario(t, "access-nginx.yaml"))
	set(t, e, "policy-demo/nginx 10.244.0.2 fd00::2 app=nginx", "policy-demo/access 10.244.0.3 fd00::3 run=access",
		"policy-demo/cant 10.244.0.4 fd00::4 run=cant-access", "default/access 10.244.0.5 fd00::5 run=access")
	w := newWorld(t, e)
	for from := range w.ends {
		for to := range w.ends {
			if from == to {
				continue
			}
			want := to != "policy-demo/nginx" || from == "policy-demo/access"
			for _, proto := range []string{"tcp", "udp"} {
				for _, port := range []uint16{1, 80, 65535} {
					for family := 1; family <= 2; family++ {
						if got := w.passes(from, to, proto, port, family); got != want {
							t.Errorf("%s > %s %s %d: %v, want %v", from, to, proto, port, got, want)
						}
					}
				}
			}
		}
	}
	if p := w.ends["default/access"]; p.From != nil || p.To != nil {
		t.Error("a pod that no policy selects has a program")
	}
}

// TestExplain: the sentences that users read.
func TestExplain(t *testing.T) {
	e := policy.New(policy.Options{})
	load(t, e, scenario(t, "frontend-backend.yaml")+"\n---\n"+scenario(t, "access-nginx.yaml"))
	set(t, e, "default/client 10.244.0.2 app=client", "default/frontend 10.244.0.3 app=frontend",
		"default/backenddb 10.244.0.4 app=backend", "policy-demo/nginx 10.244.0.5 app=nginx")
	commit(t, e)
	for _, tt := range []struct {
		at       string
		d        policy.Direction
		src, dst string
		port     uint16
		want     string
	}{
		{"default/backenddb", policy.Ingress, "10.244.0.2", "10.244.0.4", 3306,
			"policy default/allow-mysql selects pod backenddb for ingress; rule 1 wants source app == 'frontend', the packet comes from pod client (10.244.0.2); no other rule matched"},
		{"default/backenddb", policy.Ingress, "192.0.2.1", "10.244.0.4", 3306,
			"policy default/allow-mysql selects pod backenddb for ingress; rule 1 wants source app == 'frontend', the packet comes from 192.0.2.1; no other rule matched"},
		{"default/backenddb", policy.Ingress, "10.244.0.3", "10.244.0.4", 3306,
			"rule 1 of policy default/allow-mysql allows it for ingress of pod backenddb: allow tcp from app == 'frontend' to ports 3306"},
		{"default/backenddb", policy.Egress, "10.244.0.4", "10.244.0.2", 80,
			"rule 1 of policy default/allow-mysql denies it for egress of pod backenddb: deny"},
		{"default/frontend", policy.Egress, "10.244.0.3", "10.244.0.4", 53,
			"policy default/allow-web selects pod frontend for egress; rule 1 wants destination ports 3306, the packet has 53; no other rule matched"},
		{"default/client", policy.Egress, "10.244.0.2", "10.244.0.4", 53,
			"no policy selects pod client for egress: everything passes"},
		{"policy-demo/nginx", policy.Ingress, "10.244.0.2", "10.244.0.5", 80,
			"Kubernetes policy policy-demo/access-nginx selects pod nginx for ingress; rule 1 wants source run == 'access', the packet comes from pod default/client (10.244.0.2); no other rule matched"},
	} {
		k := keyOf(netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst), hdr.ProtoTCP, tt.port)
		x, err := e.Explain(tt.at, tt.d, &k)
		if err != nil || x.Text != tt.want {
			t.Errorf("%s %v %v:\n\t%s %v\nwant\t%s", tt.at, tt.d, &k, x.Text, err, tt.want)
		}
	}
	if _, err := e.Explain("default/nobody", policy.Ingress, &acl.Key{}); err == nil {
		t.Error("an unknown endpoint is explained")
	}
}
