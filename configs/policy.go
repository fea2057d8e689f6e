package configs

import (
	"fmt"
	"path/filepath"
	"time"
)

// Policy says where policy comes from.
type Policy struct {
	// Files are YAML files of Kubernetes' and Calico's resources, or directories
	// of such files.
	Files []string `yaml:"files"`
	// Node is "allow" if pods and the host of their node reach each other
	// whatever policy says, as Kubernetes wants it for probes, or "policy".
	Node string `yaml:"node"`
	// NodeName is what HostEndpoints call this node; its host name if empty.
	NodeName string `yaml:"node_name"`
	// FailsafeIn and FailsafeOut are ports that stay open at host endpoints, for
	// what comes to the host and for what it sends, as ParseFailsafe reads them.
	// nil: Calico's. Empty: none.
	FailsafeIn  []string `yaml:"failsafe_in"`
	FailsafeOut []string `yaml:"failsafe_out"`
}

// Sessions bound what Skein remembers of flows.
type Sessions struct {
	Capacity       int             `yaml:"capacity"`          // flows at once, 124 bytes of memory each
	PerPod         int             `yaml:"per_pod"`           // flows that one interface may open
	PerPodHalfOpen int             `yaml:"per_pod_half_open"` // of them, those that nobody has answered
	Timeouts       SessionTimeouts `yaml:"timeouts"`
}

// SessionTimeouts are how long a flow is remembered without a packet. 0 stands
// for what the standards ask for.
type SessionTimeouts struct {
	TCPEstablished time.Duration `yaml:"tcp_established"`
	TCPTransitory  time.Duration `yaml:"tcp_transitory"` // opening or closing
	UDP            time.Duration `yaml:"udp"`
	ICMP           time.Duration `yaml:"icmp"`
}

const (
	minSessions = 1024
	maxSessions = 1 << 26 // session.MaxCapacity: 8 GiB
	maxTimeout  = 365 * 24 * time.Hour
)

func (c *checker) policy(cfg *Config) {
	for i, path := range cfg.Policy.Files {
		if !filepath.IsAbs(path) {
			c.add(fmt.Sprintf("policy.files[%d]", i), "%q where an absolute path was expected", path)
		}
	}
	c.oneOf("policy.node", cfg.Policy.Node, "allow", "policy")
	c.failsafe("policy.failsafe_in", cfg.Policy.FailsafeIn)
	c.failsafe("policy.failsafe_out", cfg.Policy.FailsafeOut)
	s := &cfg.Sessions
	c.between("sessions.capacity", s.Capacity, minSessions, maxSessions)
	c.between("sessions.per_pod", s.PerPod, 1, s.Capacity)
	c.between("sessions.per_pod_half_open", s.PerPodHalfOpen, 1, max(1, s.PerPod))
	for field, d := range map[string]time.Duration{"tcp_established": s.Timeouts.TCPEstablished, "tcp_transitory": s.Timeouts.TCPTransitory,
		"udp": s.Timeouts.UDP, "icmp": s.Timeouts.ICMP} {
		if d != 0 && (d < time.Second || d > maxTimeout) {
			c.add("sessions.timeouts."+field, "%s where 1s to a year was expected", d)
		}
	}
}
