package service

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/skein-dataplane/skein/hdr"
)

// Objects are what a file holds.
type Objects struct {
	Services []*Service
	Slices   []*Slice
}

// Parse reads YAML documents: Services, EndpointSlices, and Lists of them, as
// kubectl writes them. file is for words. A field that is not known is an error,
// as it may have been meant for something. Of all that is wrong it says where;
// then nothing is returned.
func Parse(file string, text io.Reader) (Objects, error) {
	r := &reader{file: file}
	var out Objects
	r.documents(text, func(v value) { v.object(&out) })
	if len(r.wrong) > 0 {
		return Objects{}, errors.Join(r.wrong...)
	}
	return out, nil
}

// object reads a document, or an item of a List.
func (v value) object(out *Objects) {
	var version, kind string
	for i := 0; i+1 < len(v.Content); i += 2 {
		switch v.Content[i].Value {
		case "apiVersion":
			version = v.Content[i+1].Value
		case "kind":
			kind = v.Content[i+1].Value
		}
	}
	switch version + " " + kind {
	case "v1 List":
		v.mapping(fields{"apiVersion": skip, "kind": skip, "metadata": skip,
			"items": func(v value) { v.list(func(v value) { v.object(out) }) }})
	case "v1 Service":
		out.Services = append(out.Services, v.service())
	case "discovery.k8s.io/v1 EndpointSlice":
		out.Slices = append(out.Slices, v.slice())
	default:
		v.fail("expected a v1 Service or a discovery.k8s.io/v1 EndpointSlice, found %q %q", version, kind)
	}
}

// meta reads metadata.
func (v value) meta(namespace, name *string, created *time.Time, labels, annotations func(string, value)) {
	*namespace = "default"
	v.mapping(fields{
		"name": func(v value) { v.set(name) }, "namespace": func(v value) { v.set(namespace) },
		"creationTimestamp": func(v value) { *created = v.time() },
		"labels":            func(v value) { v.mapping(nil, labels) },
		"annotations":       func(v value) { v.mapping(nil, annotations) },
		"uid":               skip, "resourceVersion": skip, "generation": skip, "generateName": skip, "selfLink": skip,
		"managedFields": skip, "ownerReferences": skip, "finalizers": skip,
		"deletionTimestamp": skip, "deletionGracePeriodSeconds": skip,
	})
	if *name == "" {
		v.fail("expected a name")
	}
}

func (v value) service() *Service {
	s := &Service{Place: v.place(), Type: "ClusterIP"}
	v.mapping(fields{
		"apiVersion": skip, "kind": skip,
		"metadata": func(v value) { v.meta(&s.Namespace, &s.Name, &s.Created, nothing, s.annotation) },
		"spec":     s.spec,
		"status":   s.status,
	})
	if s.Name == "" {
		v.fail("expected metadata with a name")
	}
	return s
}

func nothing(string, value) {}

func (s *Service) annotation(name string, v value) {
	switch name {
	case AnnotationBalancing:
		s.Maglev = v.one("hash", "maglev") == "maglev"
	case AnnotationMasquerade:
		s.MasqueradeExternal = v.one("true", "false") == "true"
	default:
		if strings.HasPrefix(name, annotationPrefix) {
			v.fail("there is no such annotation")
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
		if t := v.text(); t != "None" && t != "" { // None: headless, names only
			s.addClusterIP(v)
		}
	}
	v.mapping(fields{
		"type":                  func(v value) { s.Type = v.one("ClusterIP", "NodePort", "LoadBalancer", "ExternalName") },
		"clusterIP":             clusterIP,
		"clusterIPs":            func(v value) { v.list(clusterIP) },
		"externalIPs":           func(v value) { v.list(func(v value) { s.ExternalIPs = append(s.ExternalIPs, v.addr()) }) },
		"ports":                 func(v value) { v.list(s.port) },
		"sessionAffinity":       func(v value) { affinity = v.one("ClientIP", "None") == "ClientIP" },
		"sessionAffinityConfig": func(v value) { timeout = v.affinityTimeout(timeout) },
		"externalTrafficPolicy": func(v value) { s.ExternalLocal = v.one("Cluster", "Local") == "Local" },
		"internalTrafficPolicy": func(v value) { s.InternalLocal = v.one("Cluster", "Local") == "Local" },
		"healthCheckNodePort":   func(v value) { s.HealthPort = uint16(v.number(0, 65535)) },
		"loadBalancerSourceRanges": func(v value) {
			v.list(func(v value) { s.Sources = append(s.Sources, v.prefix()) })
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
	a := v.addr()
	for _, b := range s.ClusterIPs {
		if a == b {
			return
		}
	}
	s.ClusterIPs = append(s.ClusterIPs, a)
}

func (v value) affinityTimeout(otherwise time.Duration) time.Duration {
	v.mapping(fields{"clientIP": func(v value) {
		v.mapping(fields{"timeoutSeconds": func(v value) {
			otherwise = time.Duration(v.number(1, maxAffinity)) * time.Second
		}})
	}})
	return otherwise
}

func (s *Service) port(v value) {
	p := Port{Proto: hdr.ProtoTCP}
	v.mapping(fields{
		"name": func(v value) { v.set(&p.Name) }, "protocol": func(v value) { p.Proto = v.protocol() },
		"port": func(v value) { p.Port = v.port() }, "nodePort": func(v value) { p.NodePort = uint16(v.number(0, 65535)) },
		"targetPort": func(v value) { // EndpointSlices say which it is
			if _, err := strconv.Atoi(v.text()); err == nil {
				v.port()
			}
		},
		"appProtocol": skip,
	})
	if p.Port == 0 {
		v.fail("expected a port from 1 to 65535")
	}
	for _, q := range s.Ports {
		switch {
		case q.Name == p.Name:
			v.fail("the name %q is that of two ports", p.Name)
		case q.Port == p.Port && q.Proto == p.Proto:
			v.fail("port %d is given twice", p.Port)
		}
	}
	s.Ports = append(s.Ports, p)
}

func (v value) protocol() uint8 {
	switch v.one("TCP", "UDP", "SCTP") {
	case "UDP":
		return hdr.ProtoUDP
	case "SCTP":
		return hdr.ProtoSCTP
	}
	return hdr.ProtoTCP
}

func (s *Service) status(v value) {
	v.mapping(fields{"conditions": skip, "loadBalancer": func(v value) {
		v.mapping(fields{"ingress": func(v value) { v.list(s.ingress) }})
	}})
}

// ingress reads an address of the load balancer. One of mode Proxy sends to
// NodePorts or pods itself (KEP-1860).
func (s *Service) ingress(v value) {
	var in []func()
	proxy := false
	v.mapping(fields{
		"ip":       func(v value) { a := v.addr(); in = append(in, func() { s.Ingress = append(s.Ingress, a) }) },
		"ipMode":   func(v value) { proxy = v.one("VIP", "Proxy") == "Proxy" },
		"hostname": skip, "ports": skip,
	})
	if !proxy {
		for _, add := range in {
			add()
		}
	}
}
