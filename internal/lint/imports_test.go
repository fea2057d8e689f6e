package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// mayImport is the house: what each package may import of the module. Keys and
// values are paths within the module as path.Match takes them; the first key
// that matches holds. A package that is not listed may not exist.
//
// Leaves know nothing of graphs nor, but for buf, hdr and the drivers'
// interfaces, of each other. Only cmd, control and the API's server see what is
// above the data plane.
var mayImport = []struct {
	pkg string
	may []string
}{
	// Leaves.
	{"hdr", nil},
	{"buf", []string{"hdr"}},
	{"fib", []string{"hdr"}},
	{"fib/fibtest", []string{"hdr", "fib"}},
	{"acl", []string{"hdr", "buf"}},
	{"nat", []string{"hdr", "buf"}},
	{"session", []string{"hdr", "buf"}},
	{"iface", []string{"hdr", "drivers"}},
	{"drivers", []string{"buf"}},
	{"drivers/vnet", []string{"hdr", "buf"}},
	{"drivers/internal/inns", nil},
	{"drivers/internal/packetsock", []string{"buf", "drivers", "drivers/vnet"}},
	{"drivers/internal/nstest", []string{"hdr", "buf", "drivers", "drivers/internal/inns"}},
	{"drivers/mem", []string{"hdr", "buf", "drivers"}},
	{"drivers/pcap", []string{"hdr", "buf", "drivers", "drivers/mem"}},
	{"drivers/auto", []string{"buf", "drivers", "drivers/afpacket", "drivers/afxdp"}},
	{"drivers/af*", []string{"hdr", "buf", "drivers", "drivers/vnet", "drivers/internal/inns", "drivers/internal/packetsock"}},
	{"tuntap", []string{"hdr", "buf", "drivers", "drivers/vnet"}},

	// The data plane on top of them.
	{"state", []string{"hdr", "fib", "iface", "acl", "nat", "session"}},
	{"graph", []string{"hdr", "buf", "drivers", "iface", "session", "state", "internal/tsc"}},
	{"graph/graphtest", []string{"hdr", "buf", "drivers", "iface", "session", "state", "graph"}},
	{"nodes", []string{"hdr", "buf", "drivers", "fib", "iface", "acl", "nat", "session", "state", "graph"}},

	// Control.
	{"configs", []string{"fib", "hdr", "nat", "acl", "internal/strictyaml"}},
	{"control/redirect", nil},
	{"control/takeover", []string{"drivers/afxdp", "tuntap", "control/redirect"}},
	{"control/store", []string{"configs", "service"}},
	{"control/pending", []string{"tuntap"}},
	{"control/dhcprelay", []string{"hdr"}},
	{"control", []string{"hdr", "buf", "drivers", "drivers/a*", "fib", "iface", "acl", "nat", "session", "tuntap", "policy", "policy/resource", "service",
		"state", "graph", "nodes", "configs", "control/store", "control/pending", "control/dhcprelay", "control/redirect", "control/takeover", "internal/tsc"}},
	{"policy", []string{"hdr", "acl", "policy/resource", "policy/selector"}},
	{"policy/resource", []string{"hdr", "acl", "policy/selector", "internal/strictyaml"}},
	{"policy/selector", nil},
	{"service", []string{"hdr", "nat", "internal/strictyaml"}},
	{"api/skeinpb", nil},
	{"api/calicopb", nil},
	{"api", []string{"api/skeinpb"}},
	{"api/server", []string{"hdr", "buf", "drivers", "fib", "nat", "iface", "graph", "nodes", "session", "policy", "policy/resource", "configs", "control",
		"api", "api/skeinpb", "api/calicopb", "internal/pktline", "internal/tsc", "internal/version"}},

	// Commands and what serves them.
	{"cni", []string{"api", "api/skeinpb", "configs", "control/pending", "tuntap", "internal/version"}},
	{"configs/cni", nil},
	{"cmd/skein-cni", []string{"cni", "configs/cni"}},
	{"cmd/skeind", []string{"configs", "control", "control/takeover", "api/server", "internal/runtimecfg", "internal/supervise", "internal/systemd", "internal/version", "tuntap"}},
	{"cmd/skeinctl", []string{"internal/cli", "internal/tour"}},
	{"internal/cli", []string{"api", "api/skeinpb"}},
	{"internal/tour", []string{"api", "api/skeinpb", "internal/lab"}},
	{"internal/graphdot", []string{"graph", "nodes"}},
	{"internal/kerneldiff", nil},
	{"internal/graphdot/draw", []string{"internal/graphdot"}},
	{"internal/lab", nil},
	{"internal/boot", []string{"internal/lab"}},
	{"internal/lint", nil},
	{"internal/pktline", nil},
	{"internal/runtimecfg", nil},
	{"internal/smaps", nil},
	{"internal/strictyaml", nil},
	{"internal/supervise", nil},
	{"internal/systemd", nil},
	{"internal/tsc", nil},
	{"internal/version", nil},
	{"bench", []string{"*", "*/*", "*/*/*"}},
	{"bench/*", []string{"*", "*/*", "*/*/*"}},
	{"docs", []string{"internal/graphdot"}},
}

// dataPlane are the packages that move packets, and what they may need from
// outside the module and the standard library, themselves or by what they
// import.
var dataPlane = map[string][]string{
	"hdr":     nil,
	"buf":     {"golang.org/x/sys/unix"},
	"fib":     {"github.com/gaissmai/bart", "github.com/gaissmai/bart/internal/*"},
	"acl":     {"golang.org/x/sys/unix"},
	"nat":     {"golang.org/x/sys/unix"},
	"session": {"golang.org/x/sys/unix"},
	"iface":   {"golang.org/x/sys/unix"},
	"drivers": {"golang.org/x/sys/unix"},
	"state":   {"golang.org/x/sys/unix", "github.com/gaissmai/bart", "github.com/gaissmai/bart/internal/*"},
	"graph":   {"golang.org/x/sys/unix", "github.com/gaissmai/bart", "github.com/gaissmai/bart/internal/*"},
	"nodes":   {"golang.org/x/sys/unix", "github.com/gaissmai/bart", "github.com/gaissmai/bart/internal/*"},
}

func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// importsBeyond returns the imports of a package that the house forbids.
func importsBeyond(name string, imports []string) (wrong []string) {
	at := slices.IndexFunc(mayImport, func(r struct {
		pkg string
		may []string
	}) bool {
		return matches(name, []string{r.pkg})
	})
	if at < 0 {
		return []string{name + ": the package is not in the list of mayImport"}
	}
	for _, i := range imports {
		if strings.HasPrefix(i, module+"/") && !matches(short(i), mayImport[at].may) {
			wrong = append(wrong, fmt.Sprintf("%s imports %s", name, short(i)))
		}
	}
	return wrong
}

// TestImportsPointDownward holds the house together.
func TestImportsPointDownward(t *testing.T) {
	for _, p := range ours(t) {
		report(t, "imports point downward only", importsBeyond(p.name(), p.Imports))
	}
	if w := importsBeyond("fib", []string{module + "/graph", module + "/hdr", "fmt"}); len(w) != 1 {
		t.Errorf("fib importing graph gives %q", w)
	}
	if w := importsBeyond("fiba", nil); len(w) != 1 {
		t.Errorf("an unknown package gives %q", w)
	}
}

// foreign returns what a package depends on that is neither the module's nor
// the standard library's, nor allowed.
func foreign(p *listed, all map[string]*listed, may []string) (wrong []string) {
	for _, d := range p.Deps {
		if dep := all[d]; dep == nil || dep.Standard || strings.HasPrefix(d, module+"/") || matches(d, may) {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s depends on %s", p.name(), d))
	}
	return wrong
}

// TestDataPlaneIsPlain keeps logging, netlink, decoding and RPC out of what
// moves packets, also by detours.
func TestDataPlaneIsPlain(t *testing.T) {
	all := listAll(t)
	for name, may := range dataPlane {
		if p := all[module+"/"+name]; p != nil {
			report(t, "the data plane needs nothing of that kind", foreign(p, all, may))
		}
	}
	if w := foreign(all[module+"/control"], all, nil); len(w) == 0 {
		t.Error("control depends on nothing foreign: the test sees nothing")
	}
}

// mayBeUnsafe are the packages where unsafe may be: where packets' memory and
// the kernel's structures are touched. Of graph it is one file, for one system
// call that golang.org/x/sys has only in a slower form.
var mayBeUnsafe = []string{"buf", "hdr", "session", "drivers/*", "drivers/internal/packetsock", "tuntap", "api/*pb"}

const unsafeInGraph = "epoll_linux.go"

// TestUnsafe keeps unsafe where it belongs.
func TestUnsafe(t *testing.T) {
	for _, p := range loadAll(t) {
		for _, f := range p.files {
			file := path.Base(p.fset.Position(f.Pos()).Filename)
			for _, i := range f.Imports {
				if i.Path.Value == `"unsafe"` && !matches(p.name(), mayBeUnsafe) && (p.name() != "graph" || file != unsafeInGraph) {
					t.Errorf("%s: unsafe has no place here", p.at(i))
				}
			}
		}
	}
}
