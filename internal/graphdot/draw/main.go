// Command draw writes the graph of all nodes, in Graphviz' language, to the
// file that it is given.
package main

import (
	"fmt"
	"os"

	"github.com/skein-dataplane/skein/internal/graphdot"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: draw FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(graphdot.Skein().Dot()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}
