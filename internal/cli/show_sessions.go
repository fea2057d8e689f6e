package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

const sessionWords = "[src <prefix>] [dst <prefix>] [port <n>] [protocol <name>] [pod <endpoint>]"

func (e *env) showSessionsCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "sessions " + sessionWords + " [max <n>|count]",
		Short:             "Flows that are remembered",
		Args:              sessionArgs(true),
		ValidArgsFunction: e.completeSessions(true),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.ListSessionsResponse, error) {
			req, err := sessionRequest("show sessions", args, true)
			if err != nil {
				return nil, err
			}
			return listSessions(ctx, c, req)
		}, textSessions),
	}
}

func (e *env) clearSessionsCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "sessions " + sessionWords,
		Short:             "Forget flows, all or some: their next packets are judged as new ones",
		Args:              sessionArgs(false),
		ValidArgsFunction: e.completeSessions(false),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.ClearSessionsResponse, error) {
			req, err := sessionRequest("clear sessions", args, false)
			if err != nil {
				return nil, err
			}
			return c.ClearSessions(ctx, &skeinpb.ClearSessionsRequest{Filter: req.Filter})
		}, func(w *bytes.Buffer, m *skeinpb.ClearSessionsResponse) {
			fmt.Fprintf(w, "%d sessions cleared\n", m.Cleared)
		}),
	}
}

func sessionArgs(list bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		_, err := sessionRequest(path(cmd), args, list)
		return err
	}
}

func (e *env) completeSessions(list bool) completion {
	words := []string{"src", "dst", "port", "protocol", "pod"}
	if list {
		words = append(words, "max", "count")
	}
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		next := oneOf(words...)
		if n := len(args); n%2 == 1 {
			next = nothing
			switch args[n-1] {
			case "pod":
				next = e.endpointNames
			case "protocol":
				next = oneOf("tcp", "udp", "icmp", "icmp6", "sctp")
			}
		}
		return fitting(next, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// sessionRequest reads the words that select sessions.
func sessionRequest(what string, args []string, list bool) (*skeinpb.ListSessionsRequest, error) {
	f := &skeinpb.SessionFilter{}
	req := &skeinpb.ListSessionsRequest{Filter: f}
	known := []pair{{word: "src", set: prefixText(&f.Src)}, {word: "dst", set: prefixText(&f.Dst)}, {word: "port", set: number(&f.Port, 1)},
		{word: "protocol", set: text(&f.Protocol)}, {word: "pod", set: text(&f.Endpoint)}}
	if list {
		known = append(known, pair{word: "max", set: number(&req.Limit, 1)})
		if n := len(args); n%2 == 1 && args[n-1] == "count" {
			req.CountOnly, args = true, args[:n-1]
		}
	}
	err := pairs(args, known...)
	if err == nil && f.Port > 65535 {
		err = fmt.Errorf("port: %d is more than 65535", f.Port)
	}
	if err != nil {
		return nil, usagef("%s: %w", what, err)
	}
	return req, nil
}

// prefixText keeps a prefix, or an address for itself alone.
func prefixText(to *string) func(string) error {
	return func(value string) error {
		p, err := parsePrefix(value, netip.Addr{})
		*to = p.String()
		return err
	}
}

// listSessions puts the parts of the answer together.
func listSessions(ctx context.Context, c *api.Client, req *skeinpb.ListSessionsRequest) (*skeinpb.ListSessionsResponse, error) {
	parts, err := c.ListSessions(ctx, req)
	if err != nil {
		return nil, err
	}
	all := &skeinpb.ListSessionsResponse{}
	for {
		m, err := parts.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all.Sessions = append(all.Sessions, m.Sessions...)
		if m.Stats != nil {
			all.Stats = m.Stats
		}
	}
}

func textSessions(w *bytes.Buffer, m *skeinpb.ListSessionsResponse) {
	st := m.GetStats()
	if st.GetCapacity() == 0 {
		fmt.Fprintf(w, "No sessions: they are kept where there is policy\n")
		return
	}
	several := slices.ContainsFunc(m.Sessions, func(s *skeinpb.Session) bool { return s.Worker != 0 })
	for _, s := range m.Sessions {
		fmt.Fprintf(w, "%s %s > %s  %s, %s\n", s.Protocol, s.Src, s.Dst, s.State, s.Verdict)
		if s.Tunnel != "" {
			fmt.Fprintf(w, "  leaves in a tunnel to node %s, which answers itself\n", s.Tunnel)
		}
		if s.TranslatedSrc != "" || s.TranslatedDst != "" {
			fmt.Fprintf(w, "  leaves as %s > %s\n", or(s.TranslatedSrc, s.Src), or(s.TranslatedDst, s.Dst))
		}
		if s.Rule != "" {
			fmt.Fprintf(w, "  %s\n", s.Rule)
		}
		fmt.Fprintf(w, "  from %s, idle %s of %s, forward %d packets %d bytes, reverse %d packets %d bytes\n", or(s.OpenedBy, "an interface that has gone"),
			short(s.Idle), short(s.Timeout), s.ForwardPackets, s.ForwardBytes, s.ReversePackets, s.ReverseBytes)
		if several {
			fmt.Fprintf(w, "  at worker %d\n", s.Worker)
		}
	}
	if len(m.Sessions) > 0 {
		fmt.Fprintf(w, "\n")
	}
	fmt.Fprintf(w, "%d of %d sessions match, %d shown, room for %d\n", st.Matching, st.Sessions, len(m.Sessions), st.Capacity)
	fmt.Fprintf(w, "%d opened, %d expired, %d gave way to others\n", st.Inserted, st.Expired, st.Evicted)
	for _, why := range slices.Sorted(maps.Keys(st.Refused)) {
		fmt.Fprintf(w, "%d refused: %s\n", st.Refused[why], why)
	}
}

// short writes a time in whole seconds.
func short(d *durationpb.Duration) string { return d.AsDuration().Truncate(time.Second).String() }
