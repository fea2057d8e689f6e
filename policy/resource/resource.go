// Package resource answers one question: what do these YAML documents say about
// policy?
//
// Parse reads Kubernetes' and Calico's resources and says where and why when it
// cannot. Both kinds of policy come out in one form, a Policy, whose rules are
// acl's: a selector, a named port or a service in a rule has become a set, and
// the Policy says what belongs into the set. What is understood and cannot be
// done is an Alarm. What is not understood at all is an error.
//
// Maturity: complete for the fields of networking.k8s.io/v1 NetworkPolicy and of
// projectcalico.org/v3's policies, sets, tiers, profiles and host endpoints but
// for matches on HTTP and domains, which raise an alarm.
package resource

import (
	"net/netip"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/selector"
)

// API groups. Calico's is one, whether its resources are stored as CRDs
// (crd.projectcalico.org/v1) or served by its API server (projectcalico.org/v3).
const (
	Core      = ""
	Kube      = "networking.k8s.io"
	Discovery = "discovery.k8s.io"
	Calico    = "projectcalico.org"
)

// A Ref names a resource. Namespace is empty for those of the whole cluster.
type Ref struct{ Group, Kind, Namespace, Name string }

// String writes the reference as in "NetworkPolicy default/allow-web".
func (r Ref) String() string {
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + r.Name
	}
	if r.Group == Kube {
		return "Kubernetes " + r.Kind + " " + name
	}
	return r.Kind + " " + name
}

// A Resource is one that Parse has read.
type Resource struct {
	Ref
	At     Place
	Labels map[string]string // of its metadata
	Spec   any               // *Policy, *Tier, *Profile, *NetworkSet, *HostEndpoint, *EndpointSlice, *Pod, or nil
	Alarms []Alarm
}

// A Policy is a NetworkPolicy or GlobalNetworkPolicy of either kind.
type Policy struct {
	Name    string // unlike all others': "default/allow-web", "default/knp.default.x" for Kubernetes'
	Words   string // as users know it: "default/allow-web"
	Tier    string
	Order   float64            // infinite if there is none
	Applies *selector.Selector // to these endpoints

	Types      Directions
	In, Out    []Rule
	Host       bool // may apply to host endpoints
	Untracked  bool // doNotTrack
	PreDNAT    bool
	Forward    bool           // applyOnForward
	Sets       map[string]Set // by name, all that rules name
	SortingKey string         // breaks ties of order
}

// Directions are those that a policy is about.
type Directions struct{ Ingress, Egress bool }

// A Rule is one of acl's, with its place in the resource, which may say in one
// rule what takes several: then these have one Number.
type Rule struct {
	Number int // from 1
	acl.Rule
}

// A Set says who is in a set that rules name.
type Set struct {
	Kind     acl.Kind
	Selector *selector.Selector // all that it matches, or
	Port     string             // all that have a port of this name, or
	Service  Service            // who serves it, with ports if Kind is NetPorts
	Words    string             // as in "app == 'frontend'"
}

// A Service names a Kubernetes Service.
type Service struct{ Namespace, Name string }

// A Tier says in which order policies are asked, and what becomes of packets
// that they say nothing about.
type Tier struct {
	Order   float64 // infinite if there is none
	Default acl.Action
}

// A Profile is what endpoints inherit: labels, and rules for what no policy
// decides.
type Profile struct {
	Labels  map[string]string
	In, Out []Rule
	Sets    map[string]Set
}

// A NetworkSet is a list of prefixes that selectors can match.
type NetworkSet struct{ Nets []netip.Prefix }

// A HostEndpoint is an interface of a node, or all of them ("*").
type HostEndpoint struct {
	Node, Interface string
	IPs             []netip.Addr
	Profiles        []string
	Ports           []Port
}

// A Port is one that an endpoint has a name for.
type Port struct {
	Name  string
	Proto uint8
	Port  uint16
}

// An EndpointSlice says who serves a Service.
type EndpointSlice struct {
	Service Service
	Addrs   []netip.Addr
	Ports   []Port
}

// A Pod is what policy knows of a v1 Pod.
type Pod struct {
	ServiceAccount string
	Addrs          []netip.Addr
	Ports          []Port
}
