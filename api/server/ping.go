package server

import (
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
)

// What a ping is if nobody says otherwise, as ping(8) and VPP have it.
const (
	pingCount    = 5
	pingSize     = 56 // bytes
	pingInterval = time.Second
	pingWait     = time.Second
)

// Bounds of what may be asked for. The client's going away ends a ping sooner.
const (
	maxPings    = 1<<16 - 1 // sequence numbers (RFC 792)
	minInterval = time.Millisecond
	maxInterval = time.Hour
	maxWait     = time.Minute
)

func (s *service) Ping(r *pb.PingRequest, out grpc.ServerStreamingServer[pb.PingResponse]) error {
	req, err := pingRequest(r)
	if err != nil {
		return err
	}
	return s.control.Ping(out.Context(), req, func(res control.PingResult) error { return out.Send(pingMessage(res)) })
}

func pingRequest(r *pb.PingRequest) (req control.PingRequest, err error) {
	if req.To, err = scopedAddress(r.Address); err != nil {
		return req, err
	}
	if r.Source != "" {
		if req.From, err = address(r.Source); err != nil {
			return req, err
		}
	}
	req.Count, req.Size = pingCount, pingSize
	if r.Count > maxPings {
		return req, invalid("%d requests: at most %d are possible", r.Count, maxPings)
	} else if r.Count > 0 {
		req.Count = int(r.Count)
	}
	if r.Size != nil {
		req.Size = int(min(*r.Size, 1<<16)) // control knows the limit, which is less
	}
	if req.Interval, err = within("an interval", r.Interval, pingInterval, minInterval, maxInterval); err != nil {
		return req, err
	}
	req.Wait, err = within("a wait", r.Wait, pingWait, minInterval, maxWait)
	return req, err
}

func pingMessage(res control.PingResult) *pb.PingResponse {
	m := &pb.PingResponse{Sequence: uint32(res.Seq)}
	switch {
	case res.Err == nil:
		m.Result, m.From = pb.PingResult_PING_RESULT_REPLY, res.From.String()
		m.Bytes, m.Ttl, m.RoundTrip = uint32(res.Bytes), uint32(res.TTL), durationpb.New(res.RTT)
	case errors.Is(res.Err, control.ErrNoReply):
		m.Result, m.Message = pb.PingResult_PING_RESULT_TIMEOUT, sentence(res.Err)
	default:
		m.Result, m.Message = pb.PingResult_PING_RESULT_NOT_SENT, sentence(res.Err)
	}
	return m
}
