package nodes

import (
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// A mapper has flows of one inside end leave from one port, whatever they talk to
// (RFC 4787, REQ-1), for one family and one worker. The mappings are those of
// the sessions that are there: it is told of each that goes, and finds those of a
// table from a file. Without mappings it does nothing.
type mapper struct {
	mappings *nat.Mappings // nil: ports are for each destination
	table    *session.Table
	ip6      bool
	gone     func(i uint32)
}

func newMapper(ip6 bool, capacity int) mapper {
	if capacity == 0 {
		return mapper{}
	}
	m, err := nat.NewMappings(capacity)
	if err != nil {
		panic(err) // the system has no random numbers; the capacity is that of a table of sessions
	}
	return mapper{mappings: m, ip6: ip6}
}

// start has the mapper, which is where it stays now, be told of what goes.
func (m *mapper) start() { m.gone = m.release }

// follow has the mappings be those of a table's sessions. Once for each table it
// looks at all of them, some 10 ms for 262,144, before there is traffic.
func (m *mapper) follow(t *session.Table) {
	if m.mappings == nil || m.table == t {
		return
	}
	m.table = t
	m.mappings.Clear()
	t.OnDelete(m.ip6, m.gone)
	for i := t.Next(0); i != 0; i = t.Next(i) {
		s := t.At(i)
		if s.IsIPv6() != m.ip6 || s.Flags&flagMasqueraded == 0 {
			continue
		}
		s.Flags &^= flagMapped
		if f, port := mappedFlow(t, i); f.HasPorts() && m.mappings.Hold(&f, port) {
			s.Flags |= flagMapped
		}
	}
}

// release takes note that a session goes.
func (m *mapper) release(i uint32) {
	if m.table.At(i).Flags&flagMapped != 0 {
		f, _ := mappedFlow(m.table, i)
		m.mappings.Release(&f)
	}
}

// mappedFlow returns what a session has a mapping for, and the port outside.
func mappedFlow(t *session.Table, i uint32) (f nat.PortFlow, port uint16) {
	r := session.Ref(i << 1)
	if t.At(i).IsIPv6() {
		k, out := t.Key6(r), t.Out6(r)
		return portFlow6(&k, &out), out.SrcPort()
	}
	k, out := t.Key4(r), t.Out4(r)
	return portFlow4(k, out), out.SrcPort()
}

func portFlow4(k, out session.Key4) nat.PortFlow {
	return nat.PortFlow{Inside: nat.Addr4(k.Src()), External: nat.Addr4(out.Src()), Remote: nat.Addr4(out.Dst()),
		Port: k.SrcPort(), RemotePort: out.DstPort(), Proto: out.Proto()}
}

func portFlow6(k, out *session.Key6) nat.PortFlow {
	return nat.PortFlow{Inside: k.Src(), External: out.Src(), Remote: out.Dst(),
		Port: k.SrcPort(), RemotePort: out.DstPort(), Proto: out.Proto()}
}

// wants reports whether a flow is to have a mapping.
func (m *mapper) wants(f *nat.PortFlow, flags uint16) bool {
	return m.mappings != nil && flags&flagMasqueraded != 0 && f.HasPorts() && f.Inside != (hdr.Addr6{})
}

// settle takes note of what has become of the session that a mapping was
// acquired for. It reports false if the flow has to take another port, as another
// is in its way: a session that was there before mappings were.
func (m *mapper) settle(f *nat.PortFlow, r session.Ref, res session.Result) bool {
	if res == session.Inserted {
		m.table.At(r.Index()).Flags |= flagMapped
		return true
	}
	m.mappings.Release(f)
	return res != session.Conflict
}
