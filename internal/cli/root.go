package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skein-dataplane/skein/api"
)

// An env is what one line's command works with.
type env struct {
	*session
	opts options // the session's, as the line's flags change them
}

// newRoot makes the tree of all commands, for one line. A new tree has no
// flag left over from the line before.
func (s *session) newRoot(bare func(options) error) *cobra.Command {
	e := &env{session: s, opts: s.opts}
	root := &cobra.Command{
		Use:           "skeinctl",
		Short:         "Talk to a Skein daemon",
		Long:          "Talk to a Skein daemon. Words may be shortened as long as they are clear:\n\"sh int\" is \"show interface\". Without words: a prompt, or a script on the standard input.\nFor completion in your shell: skeinctl completion --help",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if e.opts.output != "text" && e.opts.output != "json" {
				return usagef("-o %s: must be text or json", e.opts.output)
			}
			if e.opts.timeout <= 0 {
				return usagef("--timeout %v: must be more than 0", e.opts.timeout)
			}
			return nil
		},
	}
	if bare != nil {
		root.RunE = func(*cobra.Command, []string) error { return bare(e.opts) }
	}
	root.SetIn(s.std.In)
	root.SetOut(s.std.Out)
	root.SetErr(s.std.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := root.PersistentFlags()
	f.StringVar(&e.opts.socket, "socket", e.opts.socket, "path of the daemon's socket")
	f.DurationVar(&e.opts.timeout, "timeout", e.opts.timeout, "longest wait for an answer")
	f.StringVarP(&e.opts.output, "output", "o", e.opts.output, "text or json")
	root.AddCommand(e.showCmd(), e.setCmd(), e.createCmd(), e.deleteCmd(), e.denyCmd(), e.clearCmd(),
		e.traceCmd(), e.ipCmd(), e.pingCmd(), e.policyCmd(), e.explainCmd(),
		e.serviceCmd(), e.natCmd(natFamilies()[0]), e.natCmd(natFamilies()[1]))
	for _, make := range s.extra {
		root.AddCommand(make())
	}
	root.CompletionOptions.HiddenDefaultCmd = true // no word for a prompt
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// group makes a command that is the first part of others.
func group(use, short string, parts ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(parts...)
	return cmd
}

// between accepts from min to max words after the command; max < 0 means any
// number.
func between(min, max int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < min:
			return usagef("%s: words missing. Usage: %s", path(cmd), usage(cmd))
		case max >= 0 && len(args) > max:
			return usagef("%s: %q is too much. Usage: %s", path(cmd), args[max], usage(cmd))
		}
		return nil
	}
}

// usage returns cmd's words and what may follow them.
func usage(cmd *cobra.Command) string { return path(cmd.Parent(), cmd.Use) }

// call runs do against the daemon, within the line's timeout.
func (e *env) call(cmd *cobra.Command, do func(context.Context, *api.Client) error) error {
	return e.callFor(cmd, e.opts.timeout, do)
}

// callFor is call for what may take longer; 0 means that only the wait for each
// part of the answer is bounded.
func (e *env) callFor(cmd *cobra.Command, longest time.Duration, do func(context.Context, *api.Client) error) error {
	ctx := cmd.Context()
	if longest > 0 {
		bounded, cancel := context.WithTimeout(ctx, longest)
		defer cancel()
		ctx = bounded
	}
	c, err := e.dial(ctx, e.opts)
	if err != nil {
		return err
	}
	return do(ctx, c)
}

// noAnswer reports whether the daemon was there, and silent.
func noAnswer(err error) bool { return status.Code(err) == codes.DeadlineExceeded }

// print writes m as the line wants it: as JSON, or as text lays it out.
func (e *env) print(m proto.Message, text func(w *bytes.Buffer)) error {
	var w bytes.Buffer
	if e.opts.output == "json" {
		if err := writeJSON(&w, m); err != nil {
			return err
		}
	} else {
		text(&w)
	}
	return e.write(w.Bytes())
}

func (e *env) write(b []byte) error {
	if _, err := e.std.Out.Write(b); err != nil {
		return fmt.Errorf("cli: write the answer: %w", err)
	}
	return nil
}

// done prints the answer to a change: nothing, but for JSON.
func (e *env) done(m proto.Message) error { return e.print(m, func(*bytes.Buffer) {}) }

// writeJSON writes m with all its fields, set or not. protojson varies its
// blanks from build to build on purpose, so they are set anew.
func writeJSON(w *bytes.Buffer, m proto.Message) error {
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("cli: encode the answer: %w", err)
	}
	if err := json.Indent(w, raw, "", "  "); err != nil {
		return fmt.Errorf("cli: encode the answer: %w", err)
	}
	w.WriteByte('\n')
	return nil
}
