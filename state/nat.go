package state

import "github.com/skein-dataplane/skein/nat"

// NAT is what the data plane knows of services and of source NAT; nil in a
// State: there is none, and it costs nothing. Like all of a State it never
// changes once published.
//
// Translations are remembered by sessions, so where there is NAT there is a
// Policy too, even if it has no endpoints. A change of it need not change the
// Policy: sessions keep the backend and the address that they have. One that
// bears on flows that exist, such as natOutgoing, comes with the next
// Policy.Gen, and they are judged again.
type NAT struct {
	Services *nat.Services // never nil
	Statics  *nat.Statics  // never nil
	Outgoing *nat.Outgoing // never nil
	// Peers are the other nodes, between which packets of services with direct
	// server return pass in tunnels; nil while there is none of either.
	Peers *nat.Peers
}
