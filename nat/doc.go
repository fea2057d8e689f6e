// Package nat answers one question: which addresses and ports does a packet
// leave with, and how are they put into it?
//
// It has five parts, each for packets of both families, and none of them knows
// of sessions or of graphs:
//
//   - Translate4 and Translate6 give a packet other addresses and ports, and its
//     checksums what follows from that. ICMP errors are translated by what they
//     quote (RFC 5508).
//   - Ports proposes source ports for source NAT (RFC 6056). Which of them are
//     free the session table knows: it is the flow that has to be unique and not
//     the port. Mappings keeps one port per inside end for all it talks to, where
//     that is asked for (RFC 4787, REQ-1).
//   - Services says which service an address and port are of, and which backend a
//     new flow to it goes to. Affinity remembers which one a client had.
//   - Peers are the nodes between which direct server return has its tunnels.
//   - Outgoing decides about source NAT of what leaves, Statics holds what an
//     administrator has mapped for good.
//
// Services, Outgoing and Statics never change, so any number of workers may read
// them; a change makes another one that shares what has not changed. Ports,
// Mappings and Affinity belong to one worker each, hold no pointers, and do not
// grow.
//
// Nothing that packets call allocates, locks, or panics, whatever the bytes.
//
// Maturity: each part is tested against a slow twin.
package nat
