// Package cli answers one question: what did the operator ask of the daemon,
// and how does the answer look?
//
// Its words are vppctl's, and abbreviate as there. They come from the command
// line, from a script on the standard input, or from a prompt. All knowledge of
// the data plane is the daemon's; here are words and layout only. Maturity: new.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
)

// Streams are where words come from and answers go to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main does what args ask for and returns the process's exit status: 0 done,
// 1 refused or failed, 2 wrong words, 3 daemon not reachable. Without words it
// prompts for them if std.In is a terminal, and else reads them line by line.
//
// Each of extra makes one more command, a tree of words of its own; it is
// called anew for each line.
func Main(args []string, std Streams, extra ...func() *cobra.Command) int {
	s := &session{std: std, extra: extra, opts: options{
		socket:  api.DefaultSocket,
		timeout: api.DefaultTimeout,
		output:  "text",
	}}
	err := s.run(args, s.dialogue)
	if e := s.close(); err == nil {
		err = e
	}
	if err != nil {
		fmt.Fprintf(std.Err, "skeinctl: %v\n", err)
	}
	return exitStatus(err)
}

// A session is one run of the program: one line, or many.
type session struct {
	std    Streams
	extra  []func() *cobra.Command
	opts   options // what a line without flags uses
	client *api.Client
	dialed options // what client was made for
}

// options are the flags that all commands know.
type options struct {
	socket  string
	timeout time.Duration
	output  string // "text" or "json"
}

// dial returns the session's client, made at the first call.
func (s *session) dial(ctx context.Context, o options) (*api.Client, error) {
	if s.client != nil && s.dialed.socket == o.socket && s.dialed.timeout == o.timeout {
		return s.client, nil
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	c, err := api.Dial(ctx, o.socket, o.timeout)
	if err != nil {
		return nil, err
	}
	s.client, s.dialed = c, o
	return c, nil
}

func (s *session) close() error {
	if s.client == nil {
		return nil
	}
	err := s.client.Close()
	s.client = nil
	return err
}

// run does what one line asks for; bare is for a line without words.
func (s *session) run(args []string, bare func(options) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dialogue := bare; bare != nil {
		bare = func(o options) error {
			stop() // each line has its own; between lines a signal ends the program
			return dialogue(o)
		}
	}
	root := s.newRoot(bare)
	args, err := expand(root, askHelp(args))
	if err != nil {
		return err
	}
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// askHelp turns the ways to ask for help into the one that cobra knows.
func askHelp(args []string) []string {
	n := len(args)
	switch {
	case n > 0 && (args[0] == "help" || args[0] == "?"):
		return append(slices.Clone(args[1:]), "--help")
	case n > 0 && args[n-1] == "?":
		return append(slices.Clone(args[:n-1]), "--help")
	}
	return args
}

// A usageError is words that make no sense, whatever the daemon's state.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// exitStatus returns the exit status that tells err.
func exitStatus(err error) int {
	var usage usageError
	var away *api.Unreachable
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &away), noAnswer(err):
		return 3
	default:
		return 1
	}
}
