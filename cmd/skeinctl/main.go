// Skeinctl talks to a Skein daemon: see package cli.
package main

import (
	"os"

	"github.com/skein-dataplane/skein/internal/cli"
)

func main() {
	std := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(cli.Main(os.Args[1:], std, labCommand))
}
