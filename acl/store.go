package acl

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
)

// A Kind says what the members of a set are.
type Kind uint8

const (
	Nets     Kind = iota // addresses and prefixes
	NetPorts             // addresses with a protocol and a port
)

// ErrUnknown is the error of what names a set that the Store does not have.
var ErrUnknown = errors.New("no such set")

// A Member is a prefix, or in sets of NetPorts an address with a protocol and a
// port.
type Member struct {
	Prefix netip.Prefix
	Proto  uint8
	Port   uint16
}

// A Store holds the sets by name. It is the one writer's side; Commit hands out
// what workers read. It is not for several goroutines at once.
//
// To add or remove an address costs some microseconds whatever the number of
// sets, members and programs. To remove a prefix that is not a single address
// costs a look at all members of its set.
type Store struct {
	sets  map[string]*set
	last  uint32 // number of the newest set; none is used twice
	index [2]indexMaker
	now   *Sets
}

type set struct {
	number  uint32
	kind    Kind
	members map[Member]struct{}
	widths  [129]int // number of members by length of prefix
}

// NewStore returns a Store without sets.
func NewStore() *Store {
	return &Store{sets: map[string]*set{}, index: [2]indexMaker{newIndexMaker(), newIndexMaker()}, now: &Sets{}}
}

// Define makes an empty set. A set that is there already must have the same
// kind, and keeps its members.
func (st *Store) Define(name string, kind Kind) error {
	if s := st.sets[name]; s != nil {
		if s.kind != kind {
			return fmt.Errorf("acl: set %q: members of another kind: %w", name, ErrInvalid)
		}
		return nil
	}
	st.last++
	st.sets[name] = &set{number: st.last, kind: kind, members: map[Member]struct{}{}}
	return nil
}

// Delete removes a set and its members. Programs that name it go on as if it
// were empty, also when a set of that name is defined again: compile them anew.
func (st *Store) Delete(name string) error {
	s, err := st.set(name)
	if err != nil {
		return err
	}
	for m := range s.members {
		st.paint(s, m, false)
	}
	delete(st.sets, name)
	return nil
}

func (st *Store) set(name string) (*set, error) {
	if s := st.sets[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("acl: set %q: %w", name, ErrUnknown)
}

// Add adds members to a set; those that it has already change nothing. On error,
// which wraps ErrUnknown or ErrInvalid, it adds none.
func (st *Store) Add(name string, members ...Member) error {
	s, members, err := st.check(name, members)
	if err != nil {
		return err
	}
	for _, m := range members {
		st.add(s, m)
	}
	return nil
}

// Remove removes members from a set; those that it does not have change
// nothing. On error, which wraps ErrUnknown or ErrInvalid, it removes none.
func (st *Store) Remove(name string, members ...Member) error {
	s, members, err := st.check(name, members)
	if err != nil {
		return err
	}
	for _, m := range members {
		st.remove(s, m)
	}
	return nil
}

// Replace gives a set these members and no others. Only what differs is
// changed. On error, which wraps ErrUnknown or ErrInvalid, nothing is.
func (st *Store) Replace(name string, members ...Member) error {
	s, members, err := st.check(name, members)
	if err != nil {
		return err
	}
	want := make(map[Member]struct{}, len(members))
	for _, m := range members {
		want[m] = struct{}{}
	}
	for m := range s.members {
		if _, keep := want[m]; !keep {
			st.remove(s, m)
		}
	}
	for m := range want {
		st.add(s, m)
	}
	return nil
}

// Members returns the members of a set, in no order; none if there is no such
// set.
func (st *Store) Members(name string) iter.Seq[Member] {
	if s := st.sets[name]; s != nil {
		return maps.Keys(s.members)
	}
	return func(func(Member) bool) {}
}

// Commit returns the sets as they are now. As long as nothing changes, it is
// the same Sets.
func (st *Store) Commit() *Sets {
	if st.index[0].changed || st.index[1].changed {
		st.now = &Sets{[2]index{st.index[0].freeze(), st.index[1].freeze()}}
	}
	return st.now
}

// check returns the set, and the members with their prefixes masked.
func (st *Store) check(name string, members []Member) (*set, []Member, error) {
	s, err := st.set(name)
	if err != nil {
		return nil, nil, err
	}
	members = slices.Clone(members)
	for i, m := range members {
		if err := m.check(s.kind); err != nil {
			return nil, nil, fmt.Errorf("acl: set %q: %w: %w", name, err, ErrInvalid)
		}
		members[i].Prefix = m.Prefix.Masked()
	}
	return s, members, nil
}

func (m Member) check(kind Kind) error {
	if err := checkPrefix(m.Prefix, 0); err != nil {
		return err
	}
	switch {
	case kind == Nets && (m.Proto != 0 || m.Port != 0):
		return fmt.Errorf("member %v: the set has no ports", m)
	case kind == NetPorts && !m.Prefix.IsSingleIP():
		return fmt.Errorf("member %v: more than one address", m)
	case kind == NetPorts && !hasPorts(m.Proto):
		return fmt.Errorf("member %v: %s has no ports", m, protoName(m.Proto))
	}
	return nil
}

func (st *Store) add(s *set, m Member) {
	if _, has := s.members[m]; has {
		return
	}
	if !s.covers(m) {
		st.paint(s, m, true)
	}
	s.members[m] = struct{}{}
	s.widths[m.Prefix.Bits()]++
}

func (st *Store) remove(s *set, m Member) {
	if _, has := s.members[m]; !has {
		return
	}
	delete(s.members, m)
	s.widths[m.Prefix.Bits()]--
	if s.covers(m) {
		return
	}
	st.paint(s, m, false)
	if m.Prefix.IsSingleIP() {
		return
	}
	for inner := range s.members {
		if m.Prefix.Overlaps(inner.Prefix) {
			st.paint(s, inner, true)
		}
	}
}

// covers reports whether another, shorter prefix of the set holds all of m.
func (s *set) covers(m Member) bool {
	for n := range m.Prefix.Bits() {
		if s.widths[n] == 0 {
			continue
		}
		if p, err := m.Prefix.Addr().Prefix(n); err == nil {
			if _, has := s.members[Member{Prefix: p}]; has {
				return true
			}
		}
	}
	return false
}

// paint makes all addresses of m members of s, or none of them.
func (st *Store) paint(s *set, m Member, in bool) {
	as := membership(s.number)<<32 | anyL4
	if s.kind == NetPorts {
		as = membership(s.number)<<32 | membership(m.Proto)<<16 | membership(m.Port)
	}
	first, end := prefixSpan(m.Prefix)
	i := &st.index[1]
	if m.Prefix.Addr().Is4() {
		i = &st.index[0]
	}
	i.paint(first, end, as, in)
}

// MemberOf returns an address as a Member.
func MemberOf(a netip.Addr) Member { return Member{Prefix: netip.PrefixFrom(a, a.BitLen())} }
