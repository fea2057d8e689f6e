package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/resource"
)

// ErrUnknown is the error of what names an endpoint that this node does not have.
var ErrUnknown = errors.New("no such endpoint")

// An Explanation says why a packet passes or does not.
type Explanation struct {
	Verdict acl.Verdict // of the Program; if there is none, it allows
	Policy  string      // that decided, as users know it; "" for defaults and profiles
	Rule    int         // that decided, as the resource counts, from 1; 0 if none
	Text    string      // one sentence
}

// Explain says what policy makes of a packet at an endpoint of this node, as of
// the last Commit. The verdict is that of the Program. The error wraps
// ErrUnknown.
func (e *Engine) Explain(id string, d Direction, k *acl.Key) (Explanation, error) {
	l := e.endpoints[id]
	if l == nil || d >= numDirections {
		return Explanation{}, fmt.Errorf("policy: endpoint %q: %w", id, ErrUnknown)
	}
	t := teller{e: e, p: l.programs[d], d: d, who: l.words(), namespace: namespaceOf(l.Endpoint)}
	if t.p == nil {
		return Explanation{
			Verdict: acl.Verdict{Action: acl.Allow, Policy: acl.NoPolicy, Rule: acl.NoRule, Log: acl.NoRule},
			Text:    fmt.Sprintf("no policy selects %s for %v: everything passes", t.who, d),
		}, nil
	}
	return t.tell(t.p.Explain(k, e.last, acl.Names{Set: t.set, Addr: t.addr})), nil
}

func namespaceOf(e *Endpoint) string {
	namespace, _, _ := strings.Cut(e.Name, "/")
	return namespace
}

// words names an endpoint as in "pod frontend".
func (l *local) words() string {
	if l.Host {
		return "host endpoint " + l.Name
	}
	_, name, _ := strings.Cut(l.Name, "/")
	return "pod " + name
}

// A teller puts the verdicts of one program into words.
type teller struct {
	e         *Engine
	p         *program
	d         Direction
	who       string
	namespace string
}

// Marks before what set and addr return, by which rephrase finds it.
const (
	setMark  = "\x00"
	addrMark = "\x01"
)

func (t *teller) set(name string) string { return setMark + t.p.sets[name].Words }

// addr names who has an address: those of other namespaces with theirs.
func (t *teller) addr(a netip.Addr) string {
	ent := t.e.addrs.at(a)
	switch {
	case ent == nil:
		return ""
	case ent.key.kind == hostEntity:
		return addrMark + "host endpoint " + ent.name
	case ent.key.kind == netsEntity:
		return addrMark + "network set " + ent.key.name
	case ent.namespace == t.namespace:
		return addrMark + "pod " + ent.name
	}
	return addrMark + "pod " + ent.namespace + "/" + ent.name
}

var marked = regexp.MustCompile(`(\S+) \(` + addrMark + `([^)]*)\)`)

// rephrase turns "source in app == 'x', the packet comes from 10.0.0.1 (pod a)"
// into "source app == 'x', the packet comes from pod a (10.0.0.1)".
func rephrase(text string) string {
	text = marked.ReplaceAllString(text, "$2 ($1)")
	return strings.NewReplacer(" in "+setMark, " ", "set "+setMark, "", setMark, "").Replace(text)
}

// find returns the policy of a Ref, nil if it is a profile or another default.
func (t *teller) find(ref acl.Ref) *policy {
	for _, tier := range t.p.tiers {
		for _, pol := range tier.policies {
			if ref.Tier == tier.name && ref.Policy == pol.Name {
				return pol
			}
		}
	}
	return nil
}

// number returns the rule's number in its resource.
func (t *teller) number(ref acl.Ref) int {
	if pol := t.find(ref); pol != nil {
		return pol.rules(t.d)[ref.Index].Number
	}
	for _, prof := range t.p.profiles {
		if ref.Tier == "" && prof.name == ref.Policy {
			return prof.rules(t.d)[ref.Index].Number
		}
	}
	return ref.Index + 1
}

// owner names what a rule belongs to.
func (t *teller) owner(ref acl.Ref) string {
	switch pol := t.find(ref); {
	case pol != nil:
		return pol.words()
	case ref.Tier == "":
		return "profile " + ref.Policy
	}
	return ref.Policy
}

func (p *policy) words() string {
	words := "policy " + p.Words
	if p.ref.Group == resource.Kube {
		words = "Kubernetes " + words
	}
	if p.Tier != resource.DefaultTier {
		words += " of tier " + p.Tier
	}
	return words
}

func (t *teller) tell(x acl.Explanation) Explanation {
	out := Explanation{Verdict: x.Verdict}
	var parts []string
	for _, r := range x.Way {
		switch {
		case r.Tier == failsafeName: // it has let the packet pass by
		case r.Reason == acl.ByTier:
			parts = append(parts, "tier "+r.Tier+" passes it on")
		default:
			parts = append(parts, fmt.Sprintf("rule %d of %s %s", t.number(r), t.owner(r), map[acl.Action]string{acl.Log: "logs it", acl.Pass: "passes it on"}[r.Action]))
		}
	}
	switch x.Rule.Reason {
	case acl.ByRule:
		if pol := t.find(x.Rule); pol != nil {
			out.Policy = pol.Words
		}
		out.Rule = t.number(x.Rule)
		verb := map[acl.Action]string{acl.Allow: "allows", acl.Deny: "denies"}[x.Rule.Action]
		parts = append(parts, fmt.Sprintf("rule %d of %s %s it for %v of %s: %s", out.Rule, t.owner(x.Rule), verb, t.d, t.who, t.p.ruleText(x.Rule.Rule)))
	case acl.ByTier:
		parts = append(parts, t.selecting(x.Rule.Tier))
		parts = append(parts, t.misses(x, x.Rule.Tier)...)
	default:
		if len(t.p.tiers) == 0 {
			parts = append(parts, fmt.Sprintf("no policy selects %s for %v", t.who, t.d))
		}
		parts = append(parts, t.misses(x, "")...)
	}
	out.Text = strings.Join(parts, "; ")
	return out
}

// selecting says which policies of a tier select the endpoint.
func (t *teller) selecting(tier string) string {
	for _, at := range t.p.tiers {
		if at.name != tier {
			continue
		}
		var names []string
		for _, pol := range at.policies {
			names = append(names, pol.words())
		}
		verb := "selects"
		if len(names) > 1 {
			verb = "select"
		}
		return fmt.Sprintf("%s %s %s for %v", enumerate(names), verb, t.who, t.d)
	}
	return "tier " + tier
}

// enumerate joins names as in "a, b and c", and counts them when they are many.
func enumerate(names []string) string {
	const most = 4
	if n := len(names); n > most {
		names = append(slices.Clone(names[:most-1]), fmt.Sprintf("%d more", n-most+1))
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// misses says what those rules of a tier want that came nearest, each rule of
// the resource once.
func (t *teller) misses(x acl.Explanation, tier string) (parts []string) {
	several := len(t.p.profiles) > 1
	for _, at := range t.p.tiers {
		several = several && tier == "" || at.name == tier && len(at.policies) > 1
		if at.name == tier {
			break
		}
	}
	told := map[string]bool{}
	for _, m := range x.Near {
		if m.Tier != tier {
			continue
		}
		rule := fmt.Sprintf("rule %d", t.number(m.Ref))
		if several {
			rule += " of " + t.owner(m.Ref)
		}
		if !told[rule] {
			told[rule] = true
			parts = append(parts, rule+" wants "+rephrase(strings.Join(m.Failed, "; and ")))
		}
	}
	if len(parts) == 0 {
		return []string{"no rule matched"}
	}
	return append(parts, "no other rule matched")
}

// ruleText writes a rule with what its sets stand for.
func (p *program) ruleText(r *acl.Rule) string { return ruleText(r, p.sets) }

func ruleText(r *acl.Rule, sets map[string]resource.Set) string {
	c := *r
	for _, side := range []*acl.Side{&c.Src, &c.Dst} {
		for _, names := range []*[]string{&side.Sets, &side.NotSets, &side.NamedPorts, &side.NotNamedPorts} {
			words := make([]string, len(*names))
			for i, name := range *names {
				words[i] = setMark + sets[name].Words
			}
			*names = words
		}
	}
	return rephrase(c.String())
}
