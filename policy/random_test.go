package policy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
)

// A lab is an Engine and a model that are told the same.
type lab struct {
	*source
	t     *testing.T
	e     *policy.Engine
	texts map[string]string // resources as YAML, by kind and name
}

func newLab(t *testing.T, seed uint64) *lab {
	return &lab{&source{rand.New(rand.NewPCG(seed, 0)), newModel()}, t, policy.New(policy.Options{Node: "here"}), map[string]string{}}
}

// say tells the Engine of one resource.
func (l *lab) say(group, kind, name, rest string) {
	namespace, own, has := strings.Cut(name, "/")
	meta := "name: " + own + ", namespace: " + namespace
	if !has {
		meta = "name: " + name
	}
	rest, isMeta := strings.CutPrefix(rest, "labels: ")
	if isMeta {
		labels, more, _ := strings.Cut(rest, "\n")
		meta, rest = meta+", labels: "+labels, more
	}
	text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {%s}\n%s", group, kind, meta, rest)
	f, err := resource.Parse("random", []byte(text))
	if err != nil {
		l.t.Fatalf("%v\n%s", err, text)
	}
	l.texts[kind+" "+name] = text
	if err := l.e.Upsert("random", f.Resources...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) remove(group, kind, name string) {
	namespace, own, has := strings.Cut(name, "/")
	if !has {
		namespace, own = "", name
	}
	delete(l.texts, kind+" "+name)
	l.e.Delete("random", resource.Ref{Group: group, Kind: kind, Namespace: namespace, Name: own})
}

const v3 = "projectcalico.org/v3"

func labelText(labels map[string]string) string {
	var parts []string
	for k, v := range labels {
		parts = append(parts, k+": "+v)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (l *lab) namespace() {
	name, labels := pick(l.source, anyNamespace), l.labels()
	l.m.namespaces[name] = labels
	l.say("v1", "Namespace", name, "labels: "+labelText(labels)+"\n")
}

func (l *lab) account() {
	name, labels := pick(l.source, anyNamespace)+"/"+pick(l.source, anyAccount), l.labels()
	l.m.accounts[name] = labels
	l.say("v1", "ServiceAccount", name, "labels: "+labelText(labels)+"\n")
}

func (l *lab) tier() {
	name := pick(l.source, anyTier[1:4])
	if l.oneIn(4) {
		delete(l.m.tiers, name)
		l.remove(resource.Calico, "Tier", name)
		return
	}
	t := &modelTier{order: float64(l.IntN(20)), pass: l.oneIn(2)}
	if l.oneIn(4) {
		t.order = math.Inf(1)
	}
	l.m.tiers[name] = t
	l.say(v3, "Tier", name, fmt.Sprintf("spec: {order: %s, defaultAction: %s}", orderText(t.order), map[bool]string{true: "Pass", false: "Deny"}[t.pass]))
}

// pod adds, changes or removes one of nine pods. Some have one family, one has
// the address of another's, some are told of as resources.
func (l *lab) pod() {
	i := l.IntN(9)
	ns := anyNamespace[i%3]
	id := fmt.Sprintf("%s/pod%d", ns, i)
	if l.oneIn(5) {
		delete(l.m.entities, id)
		l.e.RemoveWorkload(id)
		return
	}
	e := &modelEntity{namespace: ns, name: fmt.Sprint("pod", i), account: pick(l.source, anyAccount), labels: l.labels(), ports: map[string]uint16{}}
	w := policy.Workload{ID: id, Namespace: ns, Name: e.name, ServiceAccount: e.account, Labels: e.labels,
		Local: i != 8, Interface: fmt.Sprint("tun", i)}
	w.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)})}
	if i == 3 {
		w.Addrs = w.Addrs[:1]
	}
	if l.oneIn(6) {
		w.Addrs[0] = netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)})
	}
	for _, name := range anyPortName {
		if l.oneIn(2) {
			e.ports[name] = pick(l.source, anyPort)
			w.Ports = append(w.Ports, resource.Port{Name: name, Proto: 6, Port: e.ports[name]})
		}
	}
	e.nets = resource.Prefixes(w.Addrs)
	l.m.entities[id] = e
	if err := l.e.SetWorkload(w); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) nets() {
	name, kind := fmt.Sprint("set", l.IntN(3)), "GlobalNetworkSet"
	e := &modelEntity{name: name, labels: l.labels(), set: true}
	if l.oneIn(2) {
		e.namespace = pick(l.source, anyNamespace)
		name, kind = e.namespace+"/"+name, "NetworkSet"
	}
	if l.oneIn(4) {
		delete(l.m.entities, kind+name)
		l.remove(resource.Calico, kind, name)
		return
	}
	var texts []string
	for range l.IntN(4) {
		texts = append(texts, fmt.Sprintf("%q", pick(l.source, anyNet)))
		e.nets = append(e.nets, netip.MustParsePrefix(strings.Trim(texts[len(texts)-1], `"`)))
	}
	l.m.entities[kind+name] = e
	l.say(v3, kind, name, "labels: "+labelText(e.labels)+"\nspec: {nets: ["+strings.Join(texts, ", ")+"]}")
}

func (l *lab) host() {
	i := l.IntN(2)
	name := fmt.Sprint("uplink", i)
	e := &modelEntity{name: name, labels: l.labels(), host: true, ports: map[string]uint16{"http": pick(l.source, anyPort)},
		nets: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32)}}
	profiles := "[]"
	if l.oneIn(2) {
		e.profiles, profiles = []string{"own"}, "[own]"
	}
	l.m.entities["host "+name] = e
	l.say(v3, "HostEndpoint", name, fmt.Sprintf("labels: %s\nspec: {node: here, interfaceName: eth%d, expectedIPs: [192.0.2.%d], profiles: %s, ports: [{name: http, protocol: TCP, port: %d}]}",
		labelText(e.labels), i, i, profiles, e.ports["http"]))
}

func (l *lab) slice() {
	ns := pick(l.source, anyNamespace)
	port := pick(l.source, anyPort)
	var addrs []string
	l.m.services[ns+"/web"] = nil
	for range l.IntN(3) {
		a := netip.AddrFrom4([4]byte{10, 1, 0, byte(l.IntN(9))})
		addrs = append(addrs, a.String())
		l.m.services[ns+"/web"] = append(l.m.services[ns+"/web"], netip.AddrPortFrom(a, port))
	}
	var ends []string
	for _, a := range addrs {
		ends = append(ends, "{addresses: ["+a+"], conditions: {ready: true}}")
	}
	l.say("discovery.k8s.io/v1", "EndpointSlice", ns+"/web-1", fmt.Sprintf("labels: {kubernetes.io/service-name: web}\naddressType: IPv4\nendpoints: [%s]\nports: [{name: '', port: %d, protocol: TCP}]",
		strings.Join(ends, ", "), port))
}

func (l *lab) profile() {
	name := pick(l.source, []string{"own", "kns.a", "ksa.b.one"})
	if l.oneIn(3) {
		delete(l.m.profiles, name)
		l.remove(resource.Calico, "Profile", name)
		return
	}
	p := &modelPolicy{}
	var in, out string
	in, p.in = l.calicoRules("", true, false)
	out, p.out = l.calicoRules("", false, false)
	l.m.profiles[name] = p
	l.say(v3, "Profile", name, "spec: {ingress: "+in+", egress: "+out+"}")
}

// TestRandom: random changes of everything, and after each few of them random
// packets at all endpoints in all directions, judged by programs and by the
// model.
func TestRandom(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	verdicts := map[string]int{}
	for seed := range uint64(rounds) {
		l := newLab(t, seed)
		for range 15 {
			l.change()
			l.change()
			l.compare(seed, verdicts)
		}
	}
	for _, v := range []string{"allow", "deny", ""} {
		if verdicts[v] < 1000*rounds/60 {
			t.Errorf("%d packets with verdict %q: too few to tell", verdicts[v], v)
		}
	}
}

func (l *lab) change() {
	for range 1 + l.IntN(8) {
		switch l.IntN(14) {
		case 0:
			l.namespace()
		case 1:
			l.account()
		case 2:
			l.tier()
		case 3:
			l.nets()
		case 4:
			l.host()
		case 5:
			l.slice()
		case 6:
			l.profile()
		case 7, 8:
			l.kubePolicy()
		case 9, 10:
			l.calicoPolicy()
		default:
			l.pod()
		}
	}
}

func (l *lab) packet() *modelPacket {
	v6 := l.oneIn(3)
	addr := func() netip.Addr {
		if v6 {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(l.IntN(18))})
		}
		if l.oneIn(3) {
			return pick(l.source, []netip.Addr{netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("10.9.0.1")})
		}
		return netip.AddrFrom4([4]byte{10, 1, 0, byte(l.IntN(10))})
	}
	p := &modelPacket{src: addr(), dst: addr(), proto: pick(l.source, []uint8{6, 6, 6, 17, 1, 58, 132, 47})}
	switch p.proto {
	case 6, 17, 132:
		p.srcPort, p.dstPort = pick(l.source, anyPort)+uint16(l.IntN(2)), pick(l.source, anyPort)+uint16(l.IntN(2))
	case 1, 58:
		p.typ = pick(l.source, []uint8{8, 0, 128})
		if v6 == (p.proto == 1) { // the other family's ICMP shows no type
			p.typ = 0
		}
	}
	return p
}

func (p *modelPacket) key() (k acl.Key) {
	k = keyOf(p.src, p.dst, p.proto, p.dstPort)
	k.SrcPort = p.srcPort
	if p.proto == 1 || p.proto == 58 {
		k.Type, k.Code, k.SrcPort, k.DstPort = p.typ, p.code, 0, 0
	}
	return k
}

// twinOf says how the model calls a direction.
var twinOf = map[policy.Direction]struct {
	egress bool
	kind   string
}{
	policy.Ingress: {false, ""}, policy.Egress: {true, ""},
	policy.ForwardIngress: {false, "forward"}, policy.ForwardEgress: {true, "forward"},
	policy.UntrackedIngress: {false, "untracked"}, policy.UntrackedEgress: {true, "untracked"},
	policy.PreDNAT: {false, "preDNAT"},
}

func (l *lab) compare(seed uint64, verdicts map[string]int) {
	l.t.Helper()
	sets := commit(l.t, l.e).Sets
	ends := l.e.Endpoints()
	for _, end := range ends {
		id := end.ID
		for d, twin := range twinOf {
			if !end.Host && d > policy.Egress {
				continue
			}
			for range 12 {
				p := l.packet()
				got, want := verdictOf(end.Program(d), d, p, sets), l.m.judge(l.m.entities[id], twin.egress, twin.kind, p)
				verdicts[want]++
				if got != want {
					k := p.key()
					x, _ := l.e.Explain(id, d, &k)
					l.t.Fatalf("seed %d: %s %v %v: %q, want %q: %s\n%s", seed, id, d, &k, got, want, x.Text, l.dump())
				}
			}
		}
	}
	locals := 0
	for id, e := range l.m.entities {
		if !e.set && id != "c/pod8" {
			locals++
		}
	}
	if locals != len(ends) {
		l.t.Fatalf("%d endpoints, want %d", len(ends), locals)
	}
}

func verdictOf(p *acl.Program, d policy.Direction, packet *modelPacket, sets *acl.Sets) string {
	switch {
	case p == nil && d > policy.ForwardEgress:
		return "" // nothing to say
	case p == nil:
		return "allow"
	}
	k := packet.key()
	v := p.Match(&k, sets, nil)
	if d > policy.ForwardEgress && v.Reason != acl.ByRule {
		return ""
	}
	return v.Action.String()
}

func (l *lab) dump() string {
	var all []string
	for _, text := range l.texts {
		all = append(all, text)
	}
	slices.Sort(all)
	for id, e := range l.m.entities {
		all = append(all, fmt.Sprintf("# %s %+v", id, *e))
	}
	return strings.Join(all, "\n---\n")
}
