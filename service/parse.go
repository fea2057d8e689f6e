package service

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/strictyaml"
)

// Objects are what a file holds.
type Objects struct {
	Services []*Service
	Slices   []*Slice
	Nodes    []*Node
}

// ErrInvalid is the error of what makes no sense.
var ErrInvalid = strictyaml.ErrInvalid

// A Place is where something stands in what was read: file, line and column,
// which count from 1.
type Place = strictyaml.Place

// An Error says what is wrong with which field where, and wraps ErrInvalid.
type Error = strictyaml.Error

type (
	value  = strictyaml.Value
	fields = strictyaml.Fields
)

func skip(value) {}

// Parse reads YAML documents: Services, EndpointSlices, Nodes, and Lists of them, as
// kubectl writes them. file is for words. A field that is not known is an error,
// as it may have been meant for something. Of all that is wrong it says where;
// then nothing is returned.
func Parse(file string, text io.Reader) (Objects, error) {
	var out Objects
	var wrong []error
	docs := strictyaml.NewReader(file, text, strictyaml.Rules{})
	for d, ok := docs.Next(); ok; d, ok = docs.Next() {
		if d.Root().Given() {
			readObject(d.Root(), &out)
		}
		for _, err := range d.Wrong {
			wrong = append(wrong, fmt.Errorf("service: %w", err))
		}
	}
	if len(wrong) > 0 {
		return Objects{}, errors.Join(wrong...)
	}
	return out, nil
}

// readObject reads a document, or an item of a List.
func readObject(v value, out *Objects) {
	version, kind := v.Peek("apiVersion").Raw(), v.Peek("kind").Raw()
	switch version + " " + kind {
	case "v1 List":
		v.Mapping(fields{"apiVersion": skip, "kind": skip, "metadata": skip,
			"items": func(v value) { v.List(func(v value) { readObject(v, out) }) }})
	case "v1 Service":
		out.Services = append(out.Services, readService(v))
	case "discovery.k8s.io/v1 EndpointSlice":
		out.Slices = append(out.Slices, readSlice(v))
	case "v1 Node":
		out.Nodes = append(out.Nodes, readNode(v))
	default:
		v.Fail("expected a v1 Service, a discovery.k8s.io/v1 EndpointSlice or a v1 Node, found %q %q", version, kind)
	}
}

// readMeta reads metadata.
func readMeta(v value, namespace, name *string, created *time.Time, labels, annotations func(string, value)) {
	*namespace = "default"
	v.Mapping(fields{
		"name": func(v value) { *name = v.Text() }, "namespace": func(v value) { *namespace = v.Text() },
		"creationTimestamp": func(v value) { *created = v.Time() },
		"labels":            func(v value) { v.Mapping(nil, labels) },
		"annotations":       func(v value) { v.Mapping(nil, annotations) },
		"uid":               skip, "resourceVersion": skip, "generation": skip, "generateName": skip, "selfLink": skip,
		"managedFields": skip, "ownerReferences": skip, "finalizers": skip,
		"deletionTimestamp": skip, "deletionGracePeriodSeconds": skip,
	})
	if *name == "" {
		v.Fail("expected a name")
	}
}

func readService(v value) *Service {
	s := &Service{Place: v.Place(), Type: "ClusterIP"}
	v.Mapping(fields{
		"apiVersion": skip, "kind": skip,
		"metadata": func(v value) { readMeta(v, &s.Namespace, &s.Name, &s.Created, nothing, s.annotation) },
		"spec":     s.spec,
		"status":   s.status,
	})
	if s.Name == "" {
		v.Fail("expected metadata with a name")
	}
	return s
}

func nothing(string, value) {}

func (s *Service) annotation(name string, v value) {
	switch name {
	case AnnotationBalancing:
		s.Maglev = v.One("hash", "maglev") == "maglev"
	case AnnotationMasquerade:
		s.MasqueradeExternal = v.One("true", "false") == "true"
	case AnnotationForwarding, shortForwarding:
		s.DSR = v.One("snat", "dsr") == "dsr"
	default:
		if strings.HasPrefix(name, annotationPrefix) {
			v.Fail("there is no such annotation")
		}
	}
}

// defaultAffinity is Kubernetes' DefaultClientIPServiceAffinitySeconds, and
// maxAffinity the most it takes.
const (
	defaultAffinity = 10800 * time.Second
	maxAffinity     = 86400
)

func (s *Service) spec(v value) {
	affinity, timeout := false, defaultAffinity
	clusterIP := func(v value) {
		if t := v.Text(); t != "None" && t != "" { // None: headless, names only
			s.addClusterIP(v)
		}
	}
	v.Mapping(fields{
		"type":                  func(v value) { s.Type = v.One("ClusterIP", "NodePort", "LoadBalancer", "ExternalName") },
		"clusterIP":             clusterIP,
		"clusterIPs":            func(v value) { v.List(clusterIP) },
		"externalIPs":           func(v value) { v.List(func(v value) { s.ExternalIPs = append(s.ExternalIPs, v.Addr()) }) },
		"ports":                 func(v value) { v.List(s.port) },
		"sessionAffinity":       func(v value) { affinity = v.One("ClientIP", "None") == "ClientIP" },
		"sessionAffinityConfig": func(v value) { timeout = affinityTimeout(v, timeout) },
		"externalTrafficPolicy": func(v value) { s.ExternalLocal = v.One("Cluster", "Local") == "Local" },
		"internalTrafficPolicy": func(v value) { s.InternalLocal = v.One("Cluster", "Local") == "Local" },
		"healthCheckNodePort":   func(v value) { s.HealthPort = uint16(v.Number(0, 65535)) },
		"loadBalancerSourceRanges": func(v value) {
			v.List(func(v value) { s.Sources = append(s.Sources, v.Prefix()) })
		},
		// Who writes EndpointSlices and status acts on these.
		"selector": skip, "publishNotReadyAddresses": skip, "ipFamilies": skip, "ipFamilyPolicy": skip,
		"loadBalancerIP": skip, "loadBalancerClass": skip, "allocateLoadBalancerNodePorts": skip,
		"externalName": skip, "trafficDistribution": skip,
	})
	if affinity {
		s.Affinity = timeout
	}
	if s.Type == "ExternalName" {
		s.ClusterIPs, s.ExternalIPs, s.Ports = nil, nil, nil
	}
}

// addClusterIP adds an address, of which clusterIP and clusterIPs have the first
// both.
func (s *Service) addClusterIP(v value) {
	a := v.Addr()
	for _, b := range s.ClusterIPs {
		if a == b {
			return
		}
	}
	s.ClusterIPs = append(s.ClusterIPs, a)
}

func affinityTimeout(v value, otherwise time.Duration) time.Duration {
	v.Mapping(fields{"clientIP": func(v value) {
		v.Mapping(fields{"timeoutSeconds": func(v value) {
			otherwise = time.Duration(v.Number(1, maxAffinity)) * time.Second
		}})
	}})
	return otherwise
}

func (s *Service) port(v value) {
	p := Port{Proto: hdr.ProtoTCP}
	v.Mapping(fields{
		"name": func(v value) { p.Name = v.Text() }, "protocol": func(v value) { p.Proto = protocol(v) },
		"port": func(v value) { p.Port = v.Port() }, "nodePort": func(v value) { p.NodePort = uint16(v.Number(0, 65535)) },
		"targetPort": func(v value) { // EndpointSlices say which it is
			if _, err := strconv.Atoi(v.Text()); err == nil {
				v.Port()
			}
		},
		"appProtocol": skip,
	})
	if p.Port == 0 {
		v.Fail("expected a port from 1 to 65535")
	}
	for _, q := range s.Ports {
		switch {
		case q.Name == p.Name:
			v.Fail("the name %q is that of two ports", p.Name)
		case q.Port == p.Port && q.Proto == p.Proto:
			v.Fail("port %d is given twice", p.Port)
		}
	}
	s.Ports = append(s.Ports, p)
}

func protocol(v value) uint8 {
	switch v.One("TCP", "UDP", "SCTP") {
	case "UDP":
		return hdr.ProtoUDP
	case "SCTP":
		return hdr.ProtoSCTP
	}
	return hdr.ProtoTCP
}

func (s *Service) status(v value) {
	v.Mapping(fields{"conditions": skip, "loadBalancer": func(v value) {
		v.Mapping(fields{"ingress": func(v value) { v.List(s.ingress) }})
	}})
}

// ingress reads an address of the load balancer. One of mode Proxy sends to
// NodePorts or pods itself (KEP-1860).
func (s *Service) ingress(v value) {
	var in []func()
	proxy := false
	v.Mapping(fields{
		"ip":       func(v value) { a := v.Addr(); in = append(in, func() { s.Ingress = append(s.Ingress, a) }) },
		"ipMode":   func(v value) { proxy = v.One("VIP", "Proxy") == "Proxy" },
		"hostname": skip, "ports": skip,
	})
	if !proxy {
		for _, add := range in {
			add()
		}
	}
}
