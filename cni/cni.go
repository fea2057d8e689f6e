// Package cni answers one question: what does Skein do when a container runtime
// asks for a pod's network?
//
// It is the logic of the CNI plugin skein-cni, for the versions 0.3.1 to 1.1.0
// of the specification. Addresses come from the IPAM plugin that the
// configuration names, the interface from the daemon. What fails leaves nothing
// behind: the addresses are released and the interface is deleted, at once or,
// where the daemon does not answer, by a record that it carries out when it
// starts. Maturity: new.
package cni

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	own "github.com/skein-dataplane/skein/internal/version"
)

// limit bounds a verb as a whole. Runtimes give up after some minutes; a verb
// of ours takes milliseconds, and seconds where a daemon starts.
const limit = 60 * time.Second

// Versions are those of the specification that the plugin speaks.
var versions = []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// Main does what the environment asks for (CNI 1.1.0, section 2), and returns
// what is to be printed as an error.
func Main() *types.Error {
	return skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add: verb(add, true), Del: verb(del, false), Check: verb(check, true), GC: verb(gc, false), Status: verb(ready, true),
	}, version.PluginSupports(versions...), "skein-cni "+own.Version+": CNI plugin of Skein")
}

// verb reads the configuration, strictly or not as parse has it, bounds a
// verb, and gives its error a code.
func verb(do func(context.Context, *Conf, *skel.CmdArgs) error, strict bool) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		c, err := parse(args.StdinData, strict)
		if err == nil {
			err = do(ctx, c, args)
		}
		if err != nil {
			return coded(err)
		}
		return nil
	}
}

// TunName returns the name that the TUN of an attachment has in Skein: "skein"
// and ten digits of a hash, as Calico derives its caliXXXXXXXXXXX from the
// workload. An attachment is known by container and interface (CNI 1.1.0,
// "attachment").
func TunName(containerID, ifName string) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s.%s", containerID, ifName))
	return "skein" + hex.EncodeToString(sum[:])[:10]
}
