// Package service answers one question: which addresses and ports are which
// Kubernetes services, and who answers for them?
//
// Parse reads Services, EndpointSlices and Nodes as users write them. A Table is told
// of each one that comes, changes or goes, and of pods' hostPorts; Commit makes
// a nat.Services of them by what has changed. Health answers on
// healthCheckNodePorts.
//
// What can't be done as it is asked for raises an Alarm. The rules are:
//
//   - Two that claim the same address, port and protocol: the older one has it,
//     by creationTimestamp, then by name. If it goes, the other gets it.
//   - An address of a service that is a pod's: the pod keeps it.
//   - An endpoint that is in none of the prefixes known, or can't be one: it is
//     left out.
//   - A backend on a node whose address is not known, of a service that asks for
//     direct server return: clients are seen with this node's address.
//   - The API server's own service keeps the backends it had when it is left
//     without, as nobody could tell that it has others but the API server.
//
// Maturity: complete for services/v1 and discovery.k8s.io/v1 but for services of
// type ExternalName, which are names only, and trafficDistribution beyond the
// hints in EndpointSlices.
package service
