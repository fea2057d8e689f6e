// Command skeind is the daemon: it takes the node's uplink over and moves
// packets between it, the host and the pods.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "skeind:", err)
		os.Exit(1)
	}
}

// defaultConfig is where the daemon looks for its configuration.
const defaultConfig = "/etc/skein/skeind.yaml"

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "skeind",
		Short:         "Skein's daemon: takes the uplink over and moves packets",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       fmt.Sprintf("%s (%s, %s)", version.Version, version.Commit(), runtime.Version()),
	}
	config := cmd.PersistentFlags().String("config", defaultConfig, "configuration file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), *config) }
	cmd.AddCommand(
		&cobra.Command{
			Use:   "check",
			Short: "Check the configuration file, and change nothing",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return check(*config) },
		},
		&cobra.Command{
			Use:   "restore",
			Short: "Give uplinks back that a daemon has left behind; harmless if there are none",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return restore(*config) },
		},
	)
	return cmd
}

// needRoot says so if the process can't do what a daemon does.
func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, for CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN: start it with sudo, or by its systemd unit")
	}
	return nil
}
