package server

import (
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
)

// checkWorkload refuses ports that make no sense. Names and labels are
// Kubernetes' own to judge.
func checkWorkload(w *pb.Workload) error {
	for _, p := range w.GetPorts() {
		switch p.GetProtocol() {
		case "", "TCP", "UDP", "SCTP":
		default:
			return invalid("%q is not a protocol that has named ports: TCP, UDP or SCTP was expected", p.GetProtocol())
		}
		if p.GetName() == "" || p.GetPort() == 0 || p.GetPort() > 65535 {
			return invalid("a port of %d with the name %q: a name and a number from 1 to 65535 were expected", p.GetPort(), p.GetName())
		}
	}
	return nil
}

// workload reads a message, which may be nil.
func workload(m *pb.Workload) configs.Workload {
	w := configs.Workload{Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUid(),
		ServiceAccount: m.GetServiceAccount(), Labels: m.GetLabels()}
	for _, p := range m.GetPorts() {
		w.Ports = append(w.Ports, configs.NamedPort{Name: p.GetName(), Protocol: p.GetProtocol(), Port: int(p.GetPort())})
	}
	return w
}

// workloadMessage returns nil for a workload that nobody has named.
func workloadMessage(w *configs.Workload) *pb.Workload {
	if w.Name == "" && len(w.Labels) == 0 {
		return nil
	}
	m := &pb.Workload{Namespace: w.Namespace, Name: w.Name, Uid: w.UID, ServiceAccount: w.ServiceAccount, Labels: w.Labels}
	for _, p := range w.Ports {
		m.Ports = append(m.Ports, &pb.NamedPort{Name: p.Name, Protocol: p.Protocol, Port: uint32(p.Port)})
	}
	return m
}
