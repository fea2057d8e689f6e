package cni

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/configs"
)

// A Conf is a network's configuration, as a runtime passes it on stdin.
type Conf struct {
	types.PluginConf
	// Socket is the daemon's; api.DefaultSocket if empty.
	Socket string `json:"socket"`
	// RunDir is the daemon's run_dir.
	RunDir string `json:"runDir"`
	// MTU is in bytes; 0: the smallest of the uplinks.
	MTU int `json:"mtu"`
	// Sysctls are parameters of the pod's network; IFNAME in a name stands for
	// the pod's interface.
	Sysctls map[string]string `json:"sysctls"`
	// Bandwidth holds where the runtime asks for none.
	Bandwidth Bandwidth `json:"bandwidth"`
	// InterfaceType is tun or veth; tun if empty. The pod's annotation of
	// typeAnnotation goes before it.
	InterfaceType string `json:"interfaceType"`
	// Offload off gives pods a plain TUN.
	Offload *bool `json:"offload"`

	Runtime Runtime `json:"runtimeConfig"`
	Args    struct {
		CNI struct {
			MAC string   `json:"mac"`
			IPs []string `json:"ips"` // for the IPAM plugin
		} `json:"cni"`
	} `json:"args"`
}

// Runtime is what a runtime adds for one container, where the configuration
// declares that it can be (CONVENTIONS.md, "Dynamic Plugin specific fields").
type Runtime struct {
	PortMappings []PortMapping     `json:"portMappings"`
	Bandwidth    *Bandwidth        `json:"bandwidth"`
	IPs          []string          `json:"ips"`
	MAC          string            `json:"mac"`
	DNS          *RuntimeDNS       `json:"dns"`
	Annotations  map[string]string `json:"io.kubernetes.cri.pod-annotations"` // containerd's
}

// RuntimeDNS is the capability dns, whose names are not those of a result.
type RuntimeDNS struct {
	Servers  []string `json:"servers"`
	Searches []string `json:"searches"`
	Options  []string `json:"options"`
}

// A PortMapping is a port of the node that stands for one of the pod.
type PortMapping struct {
	HostPort      uint32 `json:"hostPort"`
	ContainerPort uint32 `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

// Bandwidth is the capability of that name: bits per second and bits, seen from
// the pod.
type Bandwidth struct {
	IngressRate  uint64 `json:"ingressRate"`
	IngressBurst uint64 `json:"ingressBurst"`
	EgressRate   uint64 `json:"egressRate"`
	EgressBurst  uint64 `json:"egressBurst"`
}

// keys are those that a configuration may have. Those with the prefix cni.dev/
// are the specification's.
var keys = []string{"cniVersion", "cniVersions", "name", "type", "ipam", "dns", "args", "prevResult", "runtimeConfig", "capabilities",
	"disableCheck", "disableGC", "loadOnlyInlinedPlugins", "ipMasq",
	"socket", "runDir", "mtu", "sysctls", "bandwidth", "interfaceType", "offload"}

// ipamKeys are those that an IPAM plugin reads beside its own section, by type:
// Calico's has there how it reaches its datastore, and its logs.
var ipamKeys = map[string][]string{"calico-ipam": {"datastore_type", "etcd_endpoints", "etcd_authority", "etcd_scheme", "etcd_discovery_srv",
	"etcd_key_file", "etcd_cert_file", "etcd_ca_cert_file", "kubernetes", "policy", "calico_api_group", "qps", "burst",
	"nodename", "nodename_file", "nodename_file_optional", "hostname", "ipam_lock_file",
	"log_level", "log_file_path", "log_file_max_size", "log_file_max_age", "log_file_max_count"}}

// parse reads a configuration. strict refuses what it does not know: a wrong
// word must not be silently without effect. It is not for DEL, which has to end
// what an earlier version has made.
func parse(stdin []byte, strict bool) (*Conf, error) {
	c := &Conf{Socket: api.DefaultSocket, RunDir: configs.Default().RunDir}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(stdin, &all); err != nil {
		return nil, fail(types.ErrDecodingFailure, "configuration: %v", err)
	}
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, fail(types.ErrDecodingFailure, "configuration: %v", err)
	}
	if strict {
		if err := c.check(all); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// check refuses what can't be done, by key and value (CNI 1.1.0, error code 2).
func (c *Conf) check(all map[string]json.RawMessage) error {
	for key, value := range all {
		if !slices.Contains(keys, key) && !slices.Contains(ipamKeys[c.IPAM.Type], key) && !strings.HasPrefix(key, "cni.dev/") {
			return fail(types.ErrUnsupportedField, "there is no field %q, which has the value %s", key, value)
		}
	}
	if masq := string(all["ipMasq"]); masq != "" && masq != "false" {
		return fail(types.ErrUnsupportedField, "field \"ipMasq\" with the value %s: Skein does not translate addresses", masq)
	}
	for key, mac := range map[string]string{"runtimeConfig.mac": c.Runtime.MAC, "args.cni.mac": c.Args.CNI.MAC} {
		if mac != "" {
			return fail(types.ErrUnsupportedField, "field %q with the value %q: Skein chooses link addresses itself", key, mac)
		}
	}
	if c.MTU != 0 && (c.MTU < 68 || c.MTU > 65535) { // RFC 791, section 3.2; the kernel's IP_MAX_MTU
		return fail(types.ErrInvalidNetworkConfig, "mtu: %d: from 68 to 65535 bytes are possible", c.MTU)
	}
	if c.IPAM.Type == "" {
		return fail(types.ErrInvalidNetworkConfig, "ipam.type is missing: a pod needs an address")
	}
	if _, err := invoke.FindInPath(c.IPAM.Type, filepath.SplitList(os.Getenv("CNI_PATH"))); err != nil {
		return fail(types.ErrInvalidNetworkConfig, "ipam.type: %v", err)
	}
	if t := c.interfaceType(); t != "" && t != configs.TypeTUN && t != configs.TypeVeth {
		return fail(types.ErrInvalidNetworkConfig, "interfaceType: %q: tun or veth was expected", t)
	}
	for name := range c.Sysctls {
		if _, err := configs.SysctlKey(name, "eth0"); err != nil {
			return fail(types.ErrInvalidNetworkConfig, "%v", err)
		}
	}
	return nil
}

// typeAnnotation lets a pod ask for an Ethernet device.
const typeAnnotation = "skein.dev/interface-type"

func (c *Conf) interfaceType() string {
	return cmp.Or(c.Runtime.Annotations[typeAnnotation], c.InterfaceType)
}
