package api

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Unreachable says that no daemon was to be had, and what to do about it.
type Unreachable struct {
	Socket string
	Err    error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("cannot reach skeind at %s: %s", e.Socket, e.advice())
}

func (e *Unreachable) Unwrap() error { return e.Err }

func (e *Unreachable) advice() string {
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		return "no such socket. Start skeind (systemctl start skeind), or name the socket that it uses"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "nobody listens there. Start skeind (systemctl start skeind)"
	case errors.Is(e.Err, fs.ErrPermission):
		return "permission denied. Be root, or join the group that owns the socket"
	default:
		return fmt.Sprintf("%v. See what it logs (journalctl -u skeind)", e.Err)
	}
}

// An Error is a call that came back without success.
type Error struct {
	Code    codes.Code
	Message string // a sentence for a person to read
}

func (e *Error) Error() string { return e.Message }

// GRPCStatus lets status.Code and its like see through to the code.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

var errNoAnswer = errors.New("it does not answer")

// explain turns what gRPC returned into an *Error or *Unreachable. nil and
// io.EOF, the end of a stream, stay what they are.
func (t *target) explain(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.Unavailable:
		return &Unreachable{Socket: t.socket, Err: t.lost()}
	case codes.DeadlineExceeded:
		return t.silent()
	case codes.Canceled:
		return &Error{s.Code(), "interrupted"}
	case codes.Unimplemented:
		return &Error{s.Code(), "skeind does not know this call: it is of another version (see show version)"}
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return &Error{s.Code(), "skeind failed: " + s.Message()}
	default:
		return &Error{s.Code(), s.Message()}
	}
}

// silent says that the daemon is there and does not answer.
func (t *target) silent() error {
	return &Error{codes.DeadlineExceeded, fmt.Sprintf("skeind at %s did not answer in time", t.socket)}
}

// lost returns the reason that a connection which once was is no more.
func (t *target) lost() error {
	if err := t.refused.Load(); err != nil {
		return *err
	}
	return errors.New("it went away during the call")
}
