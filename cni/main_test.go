package cni_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// plugins are the commands that the tests use: ours, and the real ones of
// containernetworking.
var plugins = []string{
	"github.com/skein-dataplane/skein/cmd/skein-cni",
	"github.com/skein-dataplane/skein/cmd/skeind",
	"github.com/skein-dataplane/skein/cmd/skeinctl",
	"github.com/containernetworking/cni/cnitool",
	"github.com/containernetworking/plugins/plugins/ipam/dhcp",
	"github.com/containernetworking/plugins/plugins/ipam/host-local",
	"github.com/containernetworking/plugins/plugins/ipam/static",
	"github.com/containernetworking/plugins/plugins/meta/bandwidth",
	"github.com/containernetworking/plugins/plugins/meta/portmap",
	"github.com/containernetworking/plugins/plugins/meta/tuning",
}

// envBin names the directory of the plugins; where it is set already, they are
// taken from there, by their names.
const envBin = "SKEIN_TEST_CNI_BIN"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(envBin) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "skein-cni-bin")
	if err == nil {
		defer os.RemoveAll(dir)
		var out []byte
		out, err = exec.Command("go", append([]string{"build", "-o", dir + "/"}, plugins...)...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	if err == nil {
		err = os.Setenv(envBin, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
