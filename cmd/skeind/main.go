// Command skeind is the daemon: it takes the node's uplink over and moves
// packets between it, the host and the pods.
//
// It is two processes: a supervisor, and the data plane as its child (skeind
// daemon), which it replaces on SIGHUP, and at a restart by systemd, without
// giving the uplink back.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/internal/supervise"
	"github.com/skein-dataplane/skein/internal/version"
)

func main() {
	stop := newStops()
	if err := root(stop).ExecuteContext(stop.ctx); err != nil {
		fmt.Fprintln(os.Stderr, "skeind:", err)
		os.Exit(1)
	}
}

// defaultConfig is where the daemon looks for its configuration.
const defaultConfig = "/etc/skein/skeind.yaml"

func root(stop *stops) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "skeind",
		Short: "Skein's daemon: takes the uplink over and moves packets",
		Long: `Take the uplink over and move packets. When the data plane dies, the uplink is
given back within a second, and pods stay closed.

Signals: TERM and INT stop it, and give the uplink back; pods' TUNs stay and are
attached to at the next start. HUP starts the data plane anew, with the
configuration and the binary as they are then, without giving the uplink back.
So does a restart by systemd.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       fmt.Sprintf("%s (%s, %s)", version.Version, version.Commit(), runtime.Version()),
	}
	config := cmd.PersistentFlags().String("config", defaultConfig, "configuration file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return supervised(cmd.Context(), *config, stop) }
	cmd.AddCommand(checkCommand(config), restoreCommand(config), takeoverCommand(config), daemonCommand(config))
	return cmd
}

func checkCommand(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration file, and change nothing",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return check(cmd.OutOrStdout(), *config) },
	}
}

func restoreCommand(config *string) *cobra.Command {
	var what restoring
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Give uplinks back that a daemon has left behind; harmless if there are none",
		Long: `Give the uplinks back that a daemon has left behind. It can be called again and
again, and does nothing if there is nothing to do, or while a daemon runs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return restore(cmd.OutOrStdout(), *config, what) },
	}
	cmd.Flags().BoolVar(&what.pods, "pods", false, "remove pods' TUNs as well, and forget what the API was asked for")
	cmd.Flags().BoolVar(&what.stopped, "stopped", false, "the service has ended (ExecStopPost=): leave a data plane alone that waits for the next instance, and kill one that hangs")
	return cmd
}

func takeoverCommand(config *string) *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use:   "takeover --dry-run",
		Short: "Say what taking the uplinks over would do, and whether it can be done",
		Long: `Check everything that taking the uplinks over depends on, and print what would
change, line by line as ip has it. Nothing is changed. Drivers are tried out by
opening them: the traffic of the uplink may stall for that moment. The exit
status is 1 if an uplink can't be taken over.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !dry {
				return errors.New("the daemon takes uplinks over when it starts: this command only says how, with --dry-run")
			}
			return dryRun(cmd.OutOrStdout(), *config)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing")
	return cmd
}

func daemonCommand(config *string) *cobra.Command {
	fd, successor := 0, false
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run the data plane without a supervisor: nobody gives the uplink back when it is killed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d := daemon{config: *config, successor: successor, logger: logger}
			if fd > 0 {
				if d.link, err = supervise.Connect(fd); err != nil {
					return err
				}
			} else if successor {
				return errors.New("--successor needs --supervisor")
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&fd, "supervisor", 0, "descriptor of the connection to a supervisor, which sets it")
	cmd.Flags().BoolVar(&successor, "successor", false, "take uplinks on that a predecessor has kept, when the supervisor says so")
	return cmd
}
