// Command skein-cni is the CNI plugin: a container runtime calls it for each
// pod (https://www.cni.dev/docs/spec). See package cni.
package main

import (
	"fmt"
	"os"

	"github.com/skein-dataplane/skein/cni"
)

func main() {
	if e := cni.Main(); e != nil {
		if err := e.Print(); err != nil {
			fmt.Fprintln(os.Stderr, "skein-cni:", err)
		}
		os.Exit(1)
	}
}
