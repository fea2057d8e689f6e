// Command skein-cni is the CNI plugin: a container runtime calls it for each
// pod (https://www.cni.dev/docs/spec), without words. With words, it puts
// itself in place for one. See package cni.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/cni"
	sample "github.com/skein-dataplane/skein/configs/cni"
)

func main() {
	if len(os.Args) > 1 {
		if err := root().Execute(); err != nil {
			fmt.Fprintln(os.Stderr, "skein-cni:", err)
			os.Exit(1)
		}
		return
	}
	if e := cni.Main(); e != nil {
		if err := e.Print(); err != nil {
			fmt.Fprintln(os.Stderr, "skein-cni:", err)
		}
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "skein-cni",
		Short:         "Skein's CNI plugin, and how it is put in place",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	i := cni.Install{List: sample.Conflist}
	file := ""
	flags := cmd.PersistentFlags()
	flags.StringVar(&i.BinDir, "bin-dir", "/opt/cni/bin", "where container runtimes look for plugins")
	flags.StringVar(&i.ConfDir, "conf-dir", "/etc/cni/net.d", "where they look for lists of plugins")
	flags.StringVar(&i.Name, "name", "10-skein.conflist", "name of the list in conf-dir: runtimes take the first")
	flags.StringVar(&file, "conflist", "", "file with the list; without, one that has host-local assign from 10.244.0.0/24")
	read := func(*cobra.Command, []string) (err error) {
		if file != "" {
			i.List, err = os.ReadFile(file)
		}
		return err
	}
	cmd.AddCommand(
		&cobra.Command{Use: "install", Short: "Put this binary and a list in place, each at once as a whole", Args: cobra.NoArgs,
			PreRunE: read, RunE: func(*cobra.Command, []string) error { return i.Do() }},
		&cobra.Command{Use: "uninstall", Short: "Remove the list and the binary; harmless if they are not there", Args: cobra.NoArgs,
			PreRunE: read, RunE: func(*cobra.Command, []string) error { return i.Undo() }})
	return cmd
}
