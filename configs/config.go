// Package configs answers one question: what is Skein asked to do?
//
// A Config is the whole wanted state as a file has it. Load refuses a file
// that is wrong anywhere, before anything is touched, and says where. Beside
// the package lie example files and what belongs into the system. Maturity:
// new.
package configs

import (
	"fmt"
	"os"
	"time"
)

// A Config is what a configuration file says. The zero Config moves no packet.
type Config struct {
	// RunDir is the directory of what lives as long as the machine: sockets,
	// network namespaces, what is needed to give an uplink back.
	RunDir string `yaml:"run_dir"`
	// Uplinks are the NICs to take over.
	Uplinks []Uplink `yaml:"uplinks"`
	// Pods are the TUNs to create. A CNI plugin or skeinctl can add more.
	Pods []Pod `yaml:"pods"`
	// Deny are the sources whose packets are dropped, prefixes of both families,
	// as soon as they come in by an uplink.
	Deny []string `yaml:"deny"`
	// Routes are lines as ip route takes them. Interfaces go by the names
	// that Skein gives them: host-enp0s3, tap0, tun0.
	Routes  []string `yaml:"routes"`
	Workers Workers  `yaml:"workers"`
	Buffers Buffers  `yaml:"buffers"`
	// ACLs are stateless access lists of interfaces.
	ACLs []ACL `yaml:"acls"`
	// Policy says which flows may pass. Without any, all may.
	Policy   Policy   `yaml:"policy"`
	Sessions Sessions `yaml:"sessions"`
	// Services are addresses that stand for pods, NAT what leaves with another
	// address. Without any, nothing is translated.
	Services Services `yaml:"services"`
	NAT      NAT      `yaml:"nat"`
	API      API      `yaml:"api"`
	CNI      CNI      `yaml:"cni"`
	Log      Log      `yaml:"log"`
	// Restart has the data plane started again when it has died, once the
	// uplinks are given back. Otherwise skeind ends, for systemd to start it.
	Restart bool `yaml:"restart"`
}

// An Uplink is a NIC that Skein takes over.
type Uplink struct {
	Interface string `yaml:"interface"` // as the host knows it
	Driver    string `yaml:"driver"`    // auto, af_xdp or af_packet
	XDP       XDP    `yaml:"af_xdp"`
	// HostRoutes are prefixes that the host reaches through Skein, such as
	// those of pods and services.
	HostRoutes []string `yaml:"host_routes"`
	Confirm    Confirm  `yaml:"confirm"`
	// RateLimit is how much may come in by it.
	RateLimit RateLimit `yaml:"rate_limit"`
}

// XDP is how an uplink is served by AF_XDP, where it is.
type XDP struct {
	// Superpackets says what becomes of TCP superpackets that are sent: whole, as
	// the kernel or the NIC cuts them; cut, by Skein; auto, whole where the kernel
	// copies frames anyway.
	Superpackets string `yaml:"superpackets"`
	// BusyPoll has the worker run the NIC's driver, for so many packets at a time,
	// instead of interrupts; 0: it does not. Such a worker never sleeps.
	BusyPoll int `yaml:"busy_poll"`
}

// Confirm says what has to be reached by the TAP for a takeover to hold. If it
// is not, the uplink is given back at once.
type Confirm struct {
	Timeout time.Duration `yaml:"timeout"` // for all of it; 0: ConfirmTimeout
	Gateway Switch        `yaml:"gateway"` // on: the default gateways that answered before
	TCP     string        `yaml:"tcp"`     // host:port that accepts connections; empty: none
}

// ConfirmTimeout is how long a takeover may go unconfirmed where nothing else
// is said.
const ConfirmTimeout = 10 * time.Second

// A Pod is a TUN in a network namespace.
type Pod struct {
	Name      string   `yaml:"name"`      // as Skein knows it; tunN if empty
	NetNS     string   `yaml:"netns"`     // path, or a name in /run/netns
	Interface string   `yaml:"interface"` // as the pod knows it
	Type      string   `yaml:"type"`      // tun, or veth for an Ethernet device; tun if empty
	Addresses []string `yaml:"addresses"` // with prefix length
	MTU       int      `yaml:"mtu"`       // bytes; 0: the smallest of the uplinks
	Offload   Switch   `yaml:"offload"`   // on: checksums and superpackets pass as they are
	Workload  Workload `yaml:"workload"`  // what policy and services know it by

	// Routes are the pod's ways over the TUN besides its default route, as
	// ParsePodRoute reads them.
	Routes []string `yaml:"routes" json:",omitempty"`
	// Sysctls are parameters of the pod's network; see SysctlKey.
	Sysctls   map[string]string `yaml:"sysctls" json:",omitempty"`
	Bandwidth Bandwidth         `yaml:"bandwidth" json:",omitzero"`
	// DHCP says that its addresses are leased over its own interface, which is an
	// Ethernet device. It is not for files.
	DHCP bool `yaml:"-" json:",omitempty"`
	// Attachment is what a container runtime knows it by. It is not for files.
	Attachment Attachment `yaml:"-" json:",omitzero"`
}

// A Workload is what runs behind a TUN, as Kubernetes knows it. The zero
// Workload is one that nobody has named: policy then knows it by its addresses.
type Workload struct {
	Namespace      string            `yaml:"namespace" json:",omitempty"`
	Name           string            `yaml:"name" json:",omitempty"` // the pod's
	UID            string            `yaml:"uid" json:",omitempty"`
	ServiceAccount string            `yaml:"service_account" json:",omitempty"`
	Labels         map[string]string `yaml:"labels" json:",omitempty"`
	Ports          []NamedPort       `yaml:"ports" json:",omitempty"` // those that have a name
}

// A NamedPort is a port that policy and services may call by its name.
type NamedPort struct {
	Name     string `yaml:"name"`
	Protocol string `yaml:"protocol"` // TCP, UDP or SCTP; TCP if empty
	Port     int    `yaml:"port"`
}

// String names the workload as kubectl does: "default/frontend".
func (w *Workload) String() string {
	if w.Namespace == "" {
		return w.Name
	}
	return w.Namespace + "/" + w.Name
}

// A Switch is on or off. Left out it is on.
type Switch string

// On reports whether the switch is on.
func (s Switch) On() bool { return s == "" || s == "on" || s == "true" }

// Buffers are the numbers of packets that Skein holds at once, all workers
// together.
type Buffers struct {
	Small int `yaml:"small"` // of up to 1,856 bytes, 2 KiB of memory each
	Large int `yaml:"large"` // superpackets, 65 KiB of memory each
	// PodQueue is how many packets the kernel holds for each pod's TUN that
	// Skein has not read yet.
	PodQueue int `yaml:"pod_queue"`
}

// API says where the daemon listens.
type API struct {
	Socket string `yaml:"socket"` // path
	Group  string `yaml:"group"`  // may use the socket besides root
}

// CNI says what else serves container runtimes. The plugin skein-cni needs
// nothing of it: it talks to the API.
type CNI struct {
	// CalicoSocket is the path at which Calico's own CNI plugin is served;
	// empty: it is not.
	CalicoSocket string `yaml:"calico_socket"`
	// DHCPServer is the address to which what pods' Ethernet devices ask of DHCP
	// is relayed; empty: nowhere.
	DHCPServer string `yaml:"dhcp_server"`
	// DHCPSubnet is an address of the subnet that the server is asked to assign
	// from; empty: the server goes by the node's address.
	DHCPSubnet string `yaml:"dhcp_subnet"`
}

// Log says what is written to where.
type Log struct {
	Level string `yaml:"level"` // debug, info, warn or error
	File  string `yaml:"file"`  // besides standard error
}

// Default returns what holds where a file says nothing.
func Default() Config {
	return Config{
		RunDir:   "/run/skein",
		Buffers:  Buffers{Small: 16384, Large: 512, PodQueue: 500},
		API:      API{Socket: "/run/skein/api.sock"},
		Policy:   Policy{Node: "allow"},
		Services: Services{APIServer: "default/kubernetes", AffinityClients: 1 << 14, RedirectHost: true},
		Sessions: Sessions{Capacity: 1 << 18, PerPod: 1 << 15, PerPodHalfOpen: 1 << 13},
		Log:      Log{Level: "info"},
	}
}

// StopTimeout is how long a clean stop may take before it is given up.
const StopTimeout = 10 * time.Second

// Load reads and checks a file.
func Load(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("configs: %w", err)
	}
	return Parse(path, text)
}

// Parse checks the text of a file. Its errors say "name:line:column: field:
// what was expected", one line for each that is wrong.
func Parse(name string, text []byte) (Config, error) {
	cfg := Default()
	d := decode(name, text, &cfg)
	if len(d.Wrong) == 0 { // else what follows would be about what is missing
		cfg.fill()
		cfg.check(d)
	}
	if len(d.Wrong) > 0 {
		return Config{}, &Error{Problems: d.Wrong}
	}
	return cfg, nil
}

// fill sets what a list's entries leave out.
func (c *Config) fill() {
	for i := range c.Uplinks {
		u := &c.Uplinks[i]
		if u.Driver == "" {
			u.Driver = "auto"
		}
		if u.XDP.Superpackets == "" {
			u.XDP.Superpackets = "auto"
		}
		if u.Confirm.Timeout == 0 {
			u.Confirm.Timeout = ConfirmTimeout
		}
	}
	for i := range c.Pods {
		p := &c.Pods[i]
		if p.Interface == "" {
			p.Interface = "eth0"
		}
		if p.Name == "" {
			p.Name = fmt.Sprintf("tun%d", i)
		}
	}
}
