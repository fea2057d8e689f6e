package graphdot

import "github.com/skein-dataplane/skein/nodes"

// Skein returns the graph that the daemon runs.
func Skein() *Graph {
	return &Graph{Specs: nodes.All(), Arcs: nodes.FeatureArcs(), Input: nodes.DeviceInputArc,
		Ether: nodes.EtherEntry, IP: nodes.IPEntry}
}
