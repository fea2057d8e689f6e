package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

// showNATCmd makes show nat44 or show nat66.
func (e *env) showNATCmd(f natFamily) *cobra.Command {
	get := func(use, short string, text func(*bytes.Buffer, *skeinpb.GetNATResponse)) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: between(0, 0),
			RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.GetNATResponse, error) {
				m, err := c.GetNAT(ctx, &skeinpb.GetNATRequest{})
				f.only(m)
				return m, err
			}, text)}
	}
	sessions := &cobra.Command{Use: "sessions", Short: "Flows that leave with other addresses or ports", Args: between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.ListSessionsResponse, error) {
			m, err := listSessions(ctx, c, &skeinpb.ListSessionsRequest{Filter: &skeinpb.SessionFilter{}})
			if err != nil {
				return nil, err
			}
			m.Sessions = slices.DeleteFunc(m.Sessions, func(s *skeinpb.Session) bool {
				return s.TranslatedSrc == "" && s.TranslatedDst == "" || !f.of(s.Src)
			})
			return m, nil
		}, textNATSessions)}
	return group(f.name, "Which addresses and ports flows leave with",
		get("addresses", "Pools, mappings for good, and the node's own addresses", textNATAddresses),
		sessions,
		get("summary", "How many flows are translated, and how many found no port", textNATSummary))
}

// of reports whether "address:port", an address or a prefix is of the family.
func (f natFamily) of(text string) bool {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return f.is(ap.Addr())
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return f.is(p.Addr())
	}
	a, err := netip.ParseAddr(text)
	return err == nil && f.is(a)
}

// only leaves what is of the family.
func (f natFamily) only(m *skeinpb.GetNATResponse) {
	if m == nil {
		return
	}
	not := func(text string) bool { return !f.of(text) }
	m.Pools = slices.DeleteFunc(m.Pools, func(p *skeinpb.NATPool) bool { return not(p.Prefix) })
	m.Excluded = slices.DeleteFunc(m.Excluded, not)
	m.Own = slices.DeleteFunc(m.Own, not)
	m.Statics = slices.DeleteFunc(m.Statics, func(s *skeinpb.NATStatic) bool {
		return !slices.ContainsFunc(strings.Fields(s.Mapping), f.of)
	})
	m.Exhausted = slices.DeleteFunc(m.Exhausted, func(x *skeinpb.NATExhausted) bool { return x.Family != f.ip })
	if f.ip == "ip4" {
		m.Translated6, m.Mappings6 = 0, 0
	} else {
		m.Translated4, m.Mappings4 = 0, 0
	}
}

func textNATSessions(w *bytes.Buffer, m *skeinpb.ListSessionsResponse) {
	for _, s := range m.Sessions {
		fmt.Fprintf(w, "%s %s > %s leaves as %s > %s  %s, idle %s of %s\n", s.Protocol, s.Src, s.Dst, or(s.TranslatedSrc, s.Src), or(s.TranslatedDst, s.Dst),
			s.State, short(s.Idle), short(s.Timeout))
	}
	fmt.Fprintf(w, "%d translated, of %d sessions\n", len(m.Sessions), m.GetStats().GetSessions())
}

func textNATAddresses(w *bytes.Buffer, m *skeinpb.GetNATResponse) {
	fmt.Fprintf(w, "The node's: %s\n", or(strings.Join(m.Own, " "), "none"))
	fmt.Fprintf(w, "Ports for what leaves with them: %s\n", strings.Join(m.PortRanges, " "))
	for _, p := range m.Pools {
		as := "its own address"
		if p.Outgoing {
			as = "the node's address"
		}
		fmt.Fprintf(w, "Pool %s leaves with %s (%s)\n", p.Prefix, as, p.Source)
	}
	if len(m.Excluded) > 0 {
		fmt.Fprintf(w, "Not towards: pools, the node, %s\n", strings.Join(m.Excluded, " "))
	}
	for _, s := range m.Statics {
		fmt.Fprintf(w, "Static %s (%s)\n", s.Mapping, s.Source)
	}
}

func textNATSummary(w *bytes.Buffer, m *skeinpb.GetNATResponse) {
	if !m.Active {
		fmt.Fprintf(w, "Nothing is translated: there are no services, pools or mappings\n")
		return
	}
	fmt.Fprintf(w, "%d sessions are translated\n%d pools, %d static mappings\n", m.Translated4+m.Translated6, len(m.Pools), len(m.Statics))
	if m.Mapping != "" {
		fmt.Fprintf(w, "Ports are %s", m.Mapping)
		if n := m.Mappings4 + m.Mappings6; n > 0 {
			fmt.Fprintf(w, ": %d ends inside have one", n)
		}
		fmt.Fprintln(w)
	}
	for _, x := range m.Exhausted {
		fmt.Fprintf(w, "No port was left for %d flows of TCP, %d of UDP, %d of ICMP, %d others\n", x.Tcp, x.Udp, x.Icmp, x.Other)
		if x.Last != "" {
			fmt.Fprintf(w, "  the last one: %s\n", x.Last)
		}
	}
}

func (e *env) showServicesCmd() *cobra.Command {
	return &cobra.Command{Use: "services", Short: "Services that are in force, and what could not be done", Args: between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.ListServicesResponse, error) {
			return c.ListServices(ctx, &skeinpb.ListServicesRequest{})
		}, textServices)}
}

func (e *env) showServiceCmd() *cobra.Command {
	return &cobra.Command{Use: "service <namespace/name>", Short: "One service: backends, and the clients that have one for themselves", Args: between(1, -1),
		ValidArgsFunction: sequence(e.serviceNames),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.ListServicesResponse, error) {
			return c.ListServices(ctx, &skeinpb.ListServicesRequest{Name: strings.Join(args, " ")})
		}, textService)}
}

func (e *env) serviceNames() []string {
	return e.names(func(ctx context.Context, c *api.Client) (names []string, err error) {
		m, err := c.ListServices(ctx, &skeinpb.ListServicesRequest{})
		for _, s := range m.GetServices() {
			name, _, _ := strings.Cut(s.Name, ":")
			if !slices.Contains(names, name) && !strings.Contains(name, " ") {
				names = append(names, name)
			}
		}
		return names, err
	})
}

func textServices(w *bytes.Buffer, m *skeinpb.ListServicesResponse) {
	var rows [][]string
	for _, s := range m.Services {
		hits, used := uint64(0), uint32(0)
		for _, b := range s.Backends {
			hits += b.Hits
			if b.InUse {
				used++
			}
		}
		for i, a := range s.Addresses {
			row := []string{s.Name, a.Kind, a.Address + "/" + a.Protocol, num(used), num(hits)}
			if i > 0 {
				row = []string{"", a.Kind, a.Address + "/" + a.Protocol}
			}
			rows = append(rows, row)
		}
	}
	table(w, 0, []column{{"Service", 24, false}, {"Kind", 12, false}, {"Address", 20, false}, {"Backends", 8, true}, {"Flows", 8, true}}, rows)
	for _, a := range m.Alarms {
		fmt.Fprintf(w, "Alarm: %s\n", a)
	}
}

func textService(w *bytes.Buffer, m *skeinpb.ListServicesResponse) {
	for _, s := range m.Services {
		fmt.Fprintf(w, "%s\n", s.Name)
		for _, a := range s.Addresses {
			fmt.Fprintf(w, "  %s %s/%s\n", a.Kind, a.Address, a.Protocol)
		}
		fmt.Fprintf(w, "  chosen by %s, external traffic %s, internal traffic %s\n", s.Balancing, s.ExternalPolicy, s.InternalPolicy)
		if s.DirectReturn {
			fmt.Fprintf(w, "  backends on other nodes answer clients from outside themselves\n")
		}
		if s.Affinity != nil {
			fmt.Fprintf(w, "  clients stay with a backend for %s\n", short(s.Affinity))
		}
		if len(s.Sources) > 0 {
			fmt.Fprintf(w, "  load balancer's clients: %s\n", strings.Join(s.Sources, " "))
		}
		var rows [][]string
		for _, b := range s.Backends {
			row := []string{b.Address, num(b.Weight), yesNo(b.Local), yesNo(b.InUse), num(b.Hits)}
			if s.DirectReturn {
				row = append(row, directTo(b))
			}
			rows = append(rows, row)
		}
		columns := []column{{"Backend", 24, false}, {"Weight", 6, true}, {"Local", 5, false}, {"In use", 6, false}, {"Flows", 8, true}}
		if s.DirectReturn {
			columns = append(columns, column{"By tunnel to", 12, false})
		}
		table(w, 2, columns, rows)
		for _, c := range s.Clients {
			fmt.Fprintf(w, "  client %s has %s for %s more\n", c.Address, c.Backend, short(c.Left))
		}
	}
	for _, a := range m.Alarms {
		for _, s := range m.Services {
			if name, _, _ := strings.Cut(s.Name, ":"); strings.Contains(a, name) {
				fmt.Fprintf(w, "Alarm: %s\n", a)
				break
			}
		}
	}
}

// directTo says which node a backend's packets go to in a tunnel.
func directTo(b *skeinpb.ServiceBackend) string {
	switch {
	case b.Local:
		return "none: it is here"
	case b.Node == "":
		return "none: not known"
	}
	return b.Node
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
