package service

import (
	"net/netip"
	"time"
)

// A Service is a Service (core/v1), as far as it concerns packets.
type Service struct {
	Place           Place
	Namespace, Name string
	Created         time.Time // zero: not said, so younger than all others
	Type            string    // ClusterIP, NodePort, LoadBalancer or ExternalName
	ClusterIPs      []netip.Addr
	ExternalIPs     []netip.Addr
	Ingress         []netip.Addr // of its load balancer, where packets arrive with that as destination
	Ports           []Port
	Affinity        time.Duration // of ClientIP; 0: none

	ExternalLocal, InternalLocal bool
	Sources                      []netip.Prefix // loadBalancerSourceRanges
	HealthPort                   uint16         // healthCheckNodePort, 0: none

	Maglev, MasqueradeExternal, DSR bool // by annotations
}

// Ref returns "namespace/name".
func (s *Service) Ref() string { return s.Namespace + "/" + s.Name }

// A Port is a port of a Service.
type Port struct {
	Name     string
	Proto    uint8
	Port     uint16
	NodePort uint16 // 0: none
}

// A Slice is an EndpointSlice (discovery.k8s.io/v1).
type Slice struct {
	Place           Place
	Namespace, Name string
	Service         string // the name, by its label
	IPv6            bool
	FQDN            bool // of names, which are nobody's business here
	Ports           []SlicePort
	Endpoints       []Endpoint
}

// Ref returns "namespace/name".
func (s *Slice) Ref() string { return s.Namespace + "/" + s.Name }

// A SlicePort is a port of all endpoints of a slice.
type SlicePort struct {
	Name  string // as the Service's port has it
	Proto uint8
	Port  uint16 // 0: not said
}

// An Endpoint is one of a slice.
type Endpoint struct {
	Addr                        netip.Addr // of several the first: they are the same end
	Ready, Serving, Terminating bool
	Node, Zone                  string
	ForZones                    []string // hints
	Pod                         bool     // it is a pod's address
}

// A Node is a Node (core/v1), as far as others send packets to it.
type Node struct {
	Place Place
	Name  string
	Addrs []netip.Addr // of each family the first is sent to; internal ones go before external ones
}

// A HostPort is a port of the node that is a pod's.
type HostPort struct {
	Pod     string // "namespace/name", for words
	Created time.Time
	Proto   uint8
	HostIP  netip.Addr // zero: all of the node's, of the pod's family
	Host    uint16
	Addr    netip.Addr // the pod's
	Port    uint16
	Weight  uint16
}

// Annotations by which a Service says how it is balanced.
const (
	annotationPrefix     = "skein-dataplane.github.io/"
	AnnotationBalancing  = annotationPrefix + "load-balancing"      // "hash" or "maglev"
	AnnotationMasquerade = annotationPrefix + "masquerade-external" // "true" or "false"
	// AnnotationForwarding says how clients from outside get to backends on other
	// nodes: "snat", with this node's address as source where answers would not
	// come back otherwise, or "dsr", as they are, to be answered directly.
	AnnotationForwarding = annotationPrefix + "forwarding-mode"
	shortForwarding      = "skein.dev/forwarding-mode" // the same
)
