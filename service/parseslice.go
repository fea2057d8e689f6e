package service

import (
	"time"

	"github.com/skein-dataplane/skein/hdr"
)

// labelService names the Service of an EndpointSlice (discovery.k8s.io/v1).
const labelService = "kubernetes.io/service-name"

// maxEndpoints is how many the API takes in one slice.
const maxEndpoints = 1000

func (v value) slice() *Slice {
	s := &Slice{Place: v.place()}
	label := func(name string, v value) {
		if name == labelService {
			v.set(&s.Service)
		}
	}
	var created time.Time
	var endpoints []value
	v.mapping(fields{
		"apiVersion": skip, "kind": skip,
		"metadata": func(v value) { v.meta(&s.Namespace, &s.Name, &created, label, nothing) },
		"addressType": func(v value) {
			switch v.one("IPv4", "IPv6", "FQDN") {
			case "IPv6":
				s.IPv6 = true
			case "FQDN":
				s.FQDN = true
			}
		},
		"ports":     func(v value) { v.list(s.port) },
		"endpoints": func(v value) { v.list(func(v value) { endpoints = append(endpoints, v) }) },
	})
	switch {
	case s.Service == "":
		v.fail("expected a label %s", labelService)
	case len(endpoints) > maxEndpoints:
		v.fail("%d endpoints, at most %d are possible", len(endpoints), maxEndpoints)
		return s
	}
	for _, e := range endpoints { // the type of addresses may stand behind them
		s.endpoint(e)
	}
	return s
}

func (s *Slice) port(v value) {
	p := SlicePort{Proto: hdr.ProtoTCP}
	v.mapping(fields{
		"name": func(v value) { v.set(&p.Name) }, "protocol": func(v value) { p.Proto = v.protocol() },
		"port": func(v value) { p.Port = v.port() }, "appProtocol": skip,
	})
	s.Ports = append(s.Ports, p)
}

func (s *Slice) endpoint(v value) {
	e := Endpoint{Ready: true}
	var serving *bool
	v.mapping(fields{
		"addresses": func(v value) {
			v.list(func(v value) {
				if s.FQDN || e.Addr.IsValid() {
					return
				}
				if e.Addr = v.addr(); e.Addr.IsValid() && e.Addr.Is6() != s.IPv6 {
					v.fail("expected an address of the slice's addressType, found %q", v.Value)
				}
			})
		},
		"conditions": func(v value) {
			v.mapping(fields{
				"ready":       func(v value) { e.Ready = v.bool() },
				"serving":     func(v value) { b := v.bool(); serving = &b },
				"terminating": func(v value) { e.Terminating = v.bool() },
			})
		},
		"nodeName": func(v value) { v.set(&e.Node) }, "zone": func(v value) { v.set(&e.Zone) },
		"hints": func(v value) { e.hints(v) },
		"targetRef": func(v value) {
			v.mapping(fields{"kind": func(v value) { e.Pod = v.text() == "Pod" }, "name": skip, "namespace": skip,
				"uid": skip, "apiVersion": skip, "fieldPath": skip, "resourceVersion": skip})
		},
		"hostname": skip, "deprecatedTopology": skip,
	})
	if e.Serving = e.Ready; serving != nil {
		e.Serving = *serving
	}
	if !e.Addr.IsValid() && !s.FQDN {
		v.fail("expected an address")
	}
	s.Endpoints = append(s.Endpoints, e)
}

func (e *Endpoint) hints(v value) {
	v.mapping(fields{
		"forZones": func(v value) {
			v.list(func(v value) {
				v.mapping(fields{"name": func(v value) { e.ForZones = append(e.ForZones, v.text()) }})
			})
		},
		"forNodes": skip, // KEP-3015: zones say the same, less finely
	})
}
