// Package state answers one question: what may the data plane read?
//
// Maturity: stable.
package state

import (
	"sync"
	"sync/atomic"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// State is the whole world as the data plane sees it. It never changes once
// published: to change the world, publish another.
type State struct {
	Gen    uint64        // one more with each publication
	Ifaces []iface.Iface // by index; index 0 is nobody
	FIB4   *fib.Table4   // never nil
	FIB6   *fib.Table6   // never nil
	Addr4  hdr.Addr4     // the node's own, for interfaces that have none
	Addr6  hdr.Addr6     // likewise; never link-local
	Deny   *Deny         // sources that deny-list drops; nil: none
	Policy *Policy       // nil: there is none, and no feature that asks for it
	EchoID uint16        // of the echo requests that Skein itself has sent, 0: none
	NAT    *NAT          // nil: nothing is translated
	// Workers is how many workers there are, for what is different where there are
	// several; 0 stands for 1.
	Workers int
}

// Source4 returns the address that Skein uses as its own towards interface i:
// the interface's, or the node's where that has none (RFC 1812, section 4.3.2.4). 0 if there is neither.
func (s *State) Source4(i uint32) hdr.Addr4 {
	if a := s.Ifaces[i].Addr4; a != 0 {
		return a
	}
	return s.Addr4
}

// Source6 returns the address that Skein uses as its own towards addresses
// beyond the link of interface i: the interface's, or the node's where that
// has none. The zero address if there is neither.
func (s *State) Source6(i uint32) hdr.Addr6 {
	if a := s.Ifaces[i].Addr6; a != (hdr.Addr6{}) {
		return a
	}
	return s.Addr6
}

// LinkSource6 returns the address that Skein uses as its own on the link of
// interface i: its link-local one, or what Source6 says where it has none. So
// it has the scope of link-local destinations (RFC 6724, section 5, rule 2).
func (s *State) LinkSource6(i uint32) hdr.Addr6 {
	if a := s.Ifaces[i].LinkLocal; a != (hdr.Addr6{}) {
		return a
	}
	return s.Source6(i)
}

// A Publisher carries States from the one writer to the workers.
type Publisher struct {
	cur atomic.Pointer[State]
	mu  sync.Mutex // serializes writers; workers never take it
}

// NewPublisher returns a publisher of an empty world.
func NewPublisher() *Publisher {
	p := new(Publisher)
	p.cur.Store(&State{Ifaces: make([]iface.Iface, 1), FIB4: new(fib.Table4), FIB6: new(fib.Table6)})
	return p
}

// Load returns the current State.
func (p *Publisher) Load() *State { return p.cur.Load() }

// Update publishes a copy of the current State as changed by edit, or, if
// edit fails, nothing. edit replaces what it changes and never writes into
// what the copy shares with the current State.
func (p *Publisher) Update(edit func(next *State) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := *p.cur.Load()
	if err := edit(&next); err != nil {
		return err
	}
	next.Gen++
	p.cur.Store(&next)
	return nil
}
