package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
)

// reasons are what can be wrong, by code; the first that fits counts. A name
// that is not there is so whatever else it makes the request.
var reasons = []struct {
	err  error
	code codes.Code
}{
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},
	{graph.ErrStopped, codes.Unavailable},
	{control.ErrNotFound, codes.NotFound},
	{fib.ErrNotFound, codes.NotFound},
	{control.ErrExists, codes.AlreadyExists},
	{control.ErrInvalid, codes.InvalidArgument},
	{fib.ErrInvalid, codes.InvalidArgument},
	{control.ErrBusy, codes.FailedPrecondition},
	{fib.ErrFull, codes.ResourceExhausted},
	{fs.ErrNotExist, codes.NotFound}, // a network namespace
	{fs.ErrExist, codes.AlreadyExists},
	{unix.EBUSY, codes.FailedPrecondition},
}

// explain turns an error into one of gRPC: a code, and a sentence.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return status.Error(r.code, sentence(err))
		}
	}
	return status.Error(codes.Internal, sentence(err))
}

// prefixes are the packages' names that errors carry, and what a code says
// already.
var (
	prefixes = regexp.MustCompile(`(^|: )((control|policy|resource|session|fib|graph|nodes|tuntap|takeover|buf|netlink|auto|afxdp|afpacket): )+`)
	said     = regexp.MustCompile(`^((invalid|not possible now|not found): )+|(: invalid)+$`)
)

// sentence returns an error's text for somebody who does not know the source.
func sentence(err error) string { return plain(err.Error()) }

func plain(text string) string {
	text = strings.ReplaceAll(text, "\n", "; ")
	for {
		shorter := said.ReplaceAllString(prefixes.ReplaceAllString(text, "$1"), "")
		if shorter == text {
			return text
		}
		text = shorter
	}
}

func invalid(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, args...))
}
