package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/internal/cli"
	"github.com/skein-dataplane/skein/internal/tour"
)

// labTime bounds the walk across the lab.
const labTime = 3 * time.Minute

// labCommand shows Skein at work in network namespaces.
func labCommand() *cobra.Command {
	opts := tour.Options{}
	stay := false
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "See Skein at work in network namespaces",
		Long: `Build a node, two pods, a router and a remote host out of network namespaces,
start a daemon on the node's uplink, and send pings, TCP and traceroutes across.
The machine's own network is not touched, and nothing stays behind. Needs root.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			// A reader that goes, such as head, is no reason to leave the lab standing.
			signal.Ignore(syscall.SIGPIPE)
			return runLab(ctx, opts, stay, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&opts.Driver, "driver", "auto", "of the uplink: auto, af_packet or af_xdp")
	cmd.Flags().StringVar(&opts.Daemon, "daemon", beside("skeind"), "path of skeind")
	cmd.Flags().BoolVar(&stay, "stay", false, "leave a shell on the node instead of taking the lab down at once")
	return cmd
}

// beside returns the path of a program that lies beside this one.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

func runLab(ctx context.Context, opts tour.Options, stay bool, out, errs io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the lab needs root to make network namespaces: start it with sudo")
	}
	fmt.Fprintln(out, "Building a node with an uplink, two pods, a router and a remote host.")
	t, err := tour.New(opts)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(out, "\nStopping the daemon, which gives the uplink back, and taking the lab down.")
		err = errors.Join(err, t.Close())
	}()
	fmt.Fprintf(out, "Starting %s on the node, uplink %s.\n", opts.Daemon, "enp0s3")
	if err := t.Start(ctx); err != nil {
		return err
	}
	walk, cancel := context.WithTimeout(ctx, labTime)
	defer cancel()
	if err := t.Walk(walk, out); err != nil {
		return errors.Join(err, fmt.Errorf("the daemon's log:\n%s", t.Log()))
	}
	for _, words := range [][]string{{"show", "interface"}, {"show", "ip", "fib"}, {"show", "runtime"}, {"show", "errors"}} {
		fmt.Fprintf(out, "\nskeinctl %s\n", strings.Join(words, " "))
		std := cli.Streams{In: nil, Out: out, Err: errs}
		if code := cli.Main(append([]string{"--socket", t.Socket}, words...), std); code != 0 {
			return fmt.Errorf("skeinctl %s has ended with %d", strings.Join(words, " "), code)
		}
	}
	if stay {
		return shell(ctx, t, out)
	}
	return nil
}

// shellEnv returns this program's environment, for a shell that finds the
// programs in dir: what it suggests to try shall work as it stands there.
func shellEnv(dir string) []string {
	return append(os.Environ(), "PS1=node# ", "PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// shell leaves the user on the node until he is done.
func shell(ctx context.Context, t *tour.Tour, out io.Writer) error {
	fmt.Fprintf(out, `
A shell on the node. The lab goes when you leave it (exit). Some things to try:
  skeinctl --socket %s
  ip addr; ip route; ping 198.51.100.10
  ip netns exec %s ping 198.51.100.10
`, t.Socket, t.PodA.FullName())
	cmd := exec.CommandContext(ctx, "/bin/sh", "-i")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = shellEnv(filepath.Dir(beside("skeinctl")))
	if err := t.Node.Do(cmd.Start); err != nil {
		return fmt.Errorf("start a shell: %w", err)
	}
	_ = cmd.Wait() // how the shell was left is no business of the lab's
	return nil
}
