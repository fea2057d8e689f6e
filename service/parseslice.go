package service

import (
	"time"

	"github.com/skein-dataplane/skein/hdr"
)

// labelService names the Service of an EndpointSlice (discovery.k8s.io/v1).
const labelService = "kubernetes.io/service-name"

// maxEndpoints is how many the API takes in one slice.
const maxEndpoints = 1000

func readSlice(v value) *Slice {
	s := &Slice{Place: v.Place()}
	label := func(name string, v value) {
		if name == labelService {
			s.Service = v.Text()
		}
	}
	var created time.Time
	var endpoints []value
	v.Mapping(fields{
		"apiVersion": skip, "kind": skip,
		"metadata": func(v value) { readMeta(v, &s.Namespace, &s.Name, &created, label, nothing) },
		"addressType": func(v value) {
			switch v.One("IPv4", "IPv6", "FQDN") {
			case "IPv6":
				s.IPv6 = true
			case "FQDN":
				s.FQDN = true
			}
		},
		"ports":     func(v value) { v.List(s.port) },
		"endpoints": func(v value) { v.List(func(v value) { endpoints = append(endpoints, v) }) },
	})
	switch {
	case s.Service == "":
		v.Fail("expected a label %s", labelService)
	case len(endpoints) > maxEndpoints:
		v.Fail("%d endpoints, at most %d are possible", len(endpoints), maxEndpoints)
		return s
	}
	for _, e := range endpoints { // the type of addresses may stand behind them
		s.endpoint(e)
	}
	return s
}

func (s *Slice) port(v value) {
	p := SlicePort{Proto: hdr.ProtoTCP}
	v.Mapping(fields{
		"name": func(v value) { p.Name = v.Text() }, "protocol": func(v value) { p.Proto = protocol(v) },
		"port": func(v value) { p.Port = v.Port() }, "appProtocol": skip,
	})
	s.Ports = append(s.Ports, p)
}

func (s *Slice) endpoint(v value) {
	e := Endpoint{Ready: true}
	var serving *bool
	v.Mapping(fields{
		"addresses": func(v value) {
			v.List(func(v value) {
				if s.FQDN || e.Addr.IsValid() {
					return
				}
				if e.Addr = v.Addr(); e.Addr.IsValid() && e.Addr.Is6() != s.IPv6 {
					v.Fail("expected an address of the slice's addressType, found %q", v.Raw())
				}
			})
		},
		"conditions": func(v value) {
			v.Mapping(fields{
				"ready":       func(v value) { e.Ready = v.Bool() },
				"serving":     func(v value) { b := v.Bool(); serving = &b },
				"terminating": func(v value) { e.Terminating = v.Bool() },
			})
		},
		"nodeName": func(v value) { e.Node = v.Text() }, "zone": func(v value) { e.Zone = v.Text() },
		"hints": func(v value) { e.hints(v) },
		"targetRef": func(v value) {
			v.Mapping(fields{"kind": func(v value) { e.Pod = v.Text() == "Pod" }, "name": skip, "namespace": skip,
				"uid": skip, "apiVersion": skip, "fieldPath": skip, "resourceVersion": skip})
		},
		"hostname": skip, "deprecatedTopology": skip,
	})
	if e.Serving = e.Ready; serving != nil {
		e.Serving = *serving
	}
	if !e.Addr.IsValid() && !s.FQDN {
		v.Fail("expected an address")
	}
	s.Endpoints = append(s.Endpoints, e)
}

func (e *Endpoint) hints(v value) {
	v.Mapping(fields{
		"forZones": func(v value) {
			v.List(func(v value) {
				v.Mapping(fields{"name": func(v value) { e.ForZones = append(e.ForZones, v.Text()) }})
			})
		},
		"forNodes": skip, // KEP-3015: zones say the same, less finely
	})
}
