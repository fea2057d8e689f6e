package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) pingCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "ping <address> [repeat <n>] [size <bytes>] [interval <seconds>] [source <address>]",
		Short:             "Ask an address for an echo, from the data plane",
		Args:              between(1, -1),
		ValidArgsFunction: cycle([]arg{nothing}, oneOf("repeat", "size", "interval", "source"), nothing),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := parsePing(args)
			if err != nil {
				return err
			}
			// Each request may be waited for; the last one's answer is the
			// last thing to come.
			longest := time.Duration(req.Count)*req.Interval.AsDuration() + req.Wait.AsDuration() + e.opts.timeout
			return e.callFor(cmd, longest, func(ctx context.Context, c *api.Client) error { return e.ping(ctx, c, req) })
		},
	}
}

func parsePing(args []string) (*skeinpb.PingRequest, error) {
	addr, err := parseScopedAddr(args[0])
	if err != nil {
		return nil, usagef("ping: %w", err)
	}
	req := &skeinpb.PingRequest{Address: addr.String(), Count: 5, Wait: durationpb.New(time.Second)}
	size, interval := uint32(56), time.Second
	err = pairs(args[1:],
		pair{word: "repeat", set: number(&req.Count, 1)},
		pair{word: "size", set: number(&size, 0)},
		pair{word: "interval", set: seconds(&interval, time.Millisecond, time.Hour)},
		pair{word: "source", set: func(s string) error {
			a, err := parseAddr(s)
			req.Source = a.String()
			return err
		}})
	// The limits of the ICMP sequence number and of an IPv4 packet with
	// neither options nor room to spare (RFC 792, RFC 791).
	const maxRepeat, maxSize = 1<<16 - 1, 1<<16 - 1 - 20 - 8
	switch {
	case err != nil:
		return nil, usagef("ping: %w", err)
	case req.Count > maxRepeat:
		return nil, usagef("ping: repeat: %d is more than %d", req.Count, maxRepeat)
	case size > maxSize:
		return nil, usagef("ping: size: %d is more than %d", size, maxSize)
	}
	req.Size, req.Interval = &size, durationpb.New(interval)
	return req, nil
}

// pingStats are what is said at the end.
type pingStats struct{ sent, received uint32 }

func (e *env) ping(ctx context.Context, c *api.Client, req *skeinpb.PingRequest) error {
	results, err := c.Ping(ctx, req)
	if err != nil {
		return err
	}
	var stats pingStats
	for {
		m, err := results.Recv()
		if errors.Is(err, io.EOF) {
			return e.pingEnd(req, stats)
		}
		if status.Code(err) == codes.Canceled {
			return errors.Join(err, e.pingSum(stats)) // a script is not to go on
		}
		if err != nil {
			return err
		}
		if m.Result != skeinpb.PingResult_PING_RESULT_NOT_SENT {
			stats.sent++
		}
		if m.Result == skeinpb.PingResult_PING_RESULT_REPLY {
			stats.received++
		}
		if err := e.pingResult(m); err != nil {
			return err
		}
	}
}

// pingResult writes one result on one line, also as JSON.
func (e *env) pingResult(m *skeinpb.PingResponse) error {
	var w bytes.Buffer
	if e.opts.output == "json" {
		raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
		if err != nil {
			return fmt.Errorf("cli: encode the answer: %w", err)
		}
		w.Write(raw)
	} else {
		textPing(&w, m)
	}
	w.WriteByte('\n')
	return e.write(w.Bytes())
}

func textPing(w *bytes.Buffer, m *skeinpb.PingResponse) {
	switch m.Result {
	case skeinpb.PingResult_PING_RESULT_REPLY:
		ms := float64(m.RoundTrip.AsDuration()) / float64(time.Millisecond)
		fmt.Fprintf(w, "%d bytes from %s: icmp_seq=%d ttl=%d time=%.4f ms", m.Bytes, m.From, m.Sequence, m.Ttl, ms)
	case skeinpb.PingResult_PING_RESULT_TIMEOUT:
		fmt.Fprintf(w, "icmp_seq=%d no answer", m.Sequence)
	case skeinpb.PingResult_PING_RESULT_UNREACHABLE:
		fmt.Fprintf(w, "From %s: icmp_seq=%d %s", or(m.From, "here"), m.Sequence, or(m.Message, "unreachable"))
	default:
		fmt.Fprintf(w, "icmp_seq=%d not sent: %s", m.Sequence, or(m.Message, "unknown reason"))
	}
}

func (e *env) pingSum(s pingStats) error {
	if e.opts.output != "text" {
		return nil
	}
	lost := 0.0
	if s.sent > 0 {
		lost = 100 * float64(s.sent-s.received) / float64(s.sent)
	}
	return e.write(fmt.Appendf(nil, "\nStatistics: %d sent, %d received, %.0f%% packet loss\n", s.sent, s.received, lost))
}

// pingEnd sums up, and fails if nothing came back.
func (e *env) pingEnd(req *skeinpb.PingRequest, s pingStats) error {
	if err := e.pingSum(s); err != nil {
		return err
	}
	if s.received == 0 {
		return fmt.Errorf("no answer from %s", req.Address)
	}
	return nil
}
