package cni

import (
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-dataplane/skein/api"
)

// Codes of the specification that its library has no names for, and our own
// (CNI 1.1.0, "Error": 100 and above are the plugin's).
const (
	codeLimited  = 51  // no ADD can be served, and pods that exist have no network
	codeFailed   = 100 // none of the others
	codeInUse    = 101 // an address or a TUN that another attachment has
	codeMismatch = 102 // CHECK: the attachment is not as it was made
)

func fail(code uint, format string, args ...any) error {
	return types.NewError(code, fmt.Sprintf(format, args...), "")
}

// coded gives an error the code that says what the runtime can do about it.
func coded(err error) *types.Error {
	var known *types.Error
	if errors.As(err, &known) {
		if whole := err.Error(); whole != known.Error() { // there is more to it
			return types.NewError(known.Code, known.Msg, whole)
		}
		return known
	}
	code := uint(codeFailed)
	switch {
	case absent(err):
		code = types.ErrTryAgainLater
	case status.Code(err) == codes.InvalidArgument:
		code = types.ErrInvalidNetworkConfig
	case status.Code(err) == codes.NotFound:
		code = types.ErrUnknownContainer
	case status.Code(err) == codes.AlreadyExists:
		code = codeInUse
	case status.Code(err) == codes.ResourceExhausted:
		code = types.ErrTryAgainLater
	}
	return types.NewError(code, err.Error(), "")
}

// absent reports whether an error says that no daemon can be had now: it does
// not run, is starting or stopping, or does not answer.
func absent(err error) bool {
	var unreachable *api.Unreachable
	if errors.As(err, &unreachable) {
		return true
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.FailedPrecondition, codes.Canceled, codes.Unavailable:
		return true
	}
	return false
}
