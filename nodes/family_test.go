package nodes_test

import (
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// A family is what the tests of flows need to run once for each.
type family struct {
	name                               string
	session, policy, open, acl, aclOut graph.Spec
	addrs                              *strings.Replacer
	sound                              func(b *buf.Buffer)
	lookup                             func(w *world, b *buf.Buffer)
	drafts                             func(f *session.Flows, b *buf.Buffer, d drafted) uint32
	find                               func(f *session.Flows, b *buf.Buffer) session.Ref
	insert                             func(t testing.TB, f *session.Table, packet, answer []byte) session.Ref
}

// A drafted is what a draft is to say besides its key.
type drafted struct {
	session session.Ref
}

// families are both; $a and $b are the pods' addresses, $x a remote host's, $h
// the host's, $n the node's.
var families = []family{{
	name: "ip4", session: nodes.IP4Session, policy: nodes.IP4Policy, open: nodes.IP4Open, acl: nodes.IP4ACL, aclOut: nodes.IP4ACLOutput,
	addrs: strings.NewReplacer("$a", "10.1.0.7", "$b", "10.1.0.8", "$x", "8.8.8.8", "$h", "192.0.2.10", "$n", "10.1.0.1",
		"$l", "192.0.2.50", "$r", "203.0.113.5", "$u", "10.67.0.1", "icmpX", "icmp", "ipX", "ip4"),
	sound:  sound,
	lookup: func(w *world, b *buf.Buffer) { b.Adj = w.state.FIB4.Lookup(b.IPv4().Dst(), b.Hash) },
	drafts: func(f *session.Flows, b *buf.Buffer, x drafted) uint32 {
		var p session.Packet4
		part := session.Parse4(b.Bytes(), 0, &p)
		d, flow := f.Drafts4.New()
		*d = session.Draft[session.Key4]{Key: p.Key, Out: p.Key, Hash: f.Hash4(p.Key), Part: part, TCP: p.TCP, Session: x.session}
		if part == session.Alone || part == session.Related {
			d.Type, d.Code = b.ICMP().Type(), b.ICMP().Code()
		}
		if x.session != 0 {
			d.Key, d.Out = f.Key4(x.session&^1), f.Out4(x.session&^1)
			d.Hash = f.Hash4(d.Key)
		}
		return flow
	},
	find: func(f *session.Flows, b *buf.Buffer) session.Ref {
		var p session.Packet4
		session.Parse4(b.Bytes(), 0, &p)
		return f.Find4(p.Key, f.Hash4(p.Key))
	},
	insert: func(t testing.TB, f *session.Table, packet, answer []byte) session.Ref {
		var p, back session.Packet4
		session.Parse4(packet, 0, &p)
		session.Parse4(answer, 0, &back)
		r, res := f.Insert4(p.Key, back.Key, f.Hash4(p.Key), pod1, p.TCP, session.Now())
		return inserted(t, r, res)
	},
}, {
	name: "ip6", session: nodes.IP6Session, policy: nodes.IP6Policy, open: nodes.IP6Open, acl: nodes.IP6ACL, aclOut: nodes.IP6ACLOutput,
	addrs: strings.NewReplacer("$a", "fd00:1::7", "$b", "fd00:1::8", "$x", "2001:db8:99::2", "$h", "2001:db8::10", "$n", "fd00:1::1",
		"$l", "2001:db8::50", "$r", "2001:db8:113::5", "$u", "fd00:67::1", "icmpX", "icmp6", "ipX", "ip6"),
	sound:  sound6,
	lookup: func(w *world, b *buf.Buffer) { b.Adj = w.state.FIB6.Lookup(b.IPv6().Dst(), b.Hash) },
	drafts: func(f *session.Flows, b *buf.Buffer, x drafted) uint32 {
		var p session.Packet6
		part := session.Parse6(b.Bytes(), 0, &p)
		d, flow := f.Drafts6.New()
		*d = session.Draft[session.Key6]{Key: p.Key, Out: p.Key, Hash: f.Hash6(&p.Key), Part: part, TCP: p.TCP, Session: x.session}
		if part == session.Alone || part == session.Related {
			d.Type, d.Code = b.ICMP().Type(), b.ICMP().Code()
		}
		if x.session != 0 {
			d.Key, d.Out = f.Key6(x.session&^1), f.Out6(x.session&^1)
			d.Hash = f.Hash6(&d.Key)
		}
		return flow
	},
	find: func(f *session.Flows, b *buf.Buffer) session.Ref {
		var p session.Packet6
		session.Parse6(b.Bytes(), 0, &p)
		return f.Find6(&p.Key, f.Hash6(&p.Key))
	},
	insert: func(t testing.TB, f *session.Table, packet, answer []byte) session.Ref {
		var p, back session.Packet6
		session.Parse6(packet, 0, &p)
		session.Parse6(answer, 0, &back)
		r, res := f.Insert6(&p.Key, &back.Key, f.Hash6(&p.Key), pod1, p.TCP, session.Now())
		return inserted(t, r, res)
	},
}}

func inserted(t testing.TB, r session.Ref, res session.Result) session.Ref {
	t.Helper()
	if res != session.Inserted {
		t.Fatalf("a session for the test: %v", res)
	}
	return r
}

// each runs a test once for each family.
func each(t *testing.T, test func(t *testing.T, f *family)) {
	for i := range families {
		t.Run(families[i].name, func(t *testing.T) { test(t, &families[i]) })
	}
}
