package fib

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// An Address is what tables are looked up by. The zero Address is nobody's.
type Address interface {
	hdr.Addr4 | hdr.Addr6
	Addr() netip.Addr
	String() string
}

// A family is what the RIB has to know of addresses A.
type family[A Address] struct {
	name      string
	bits      int    // of an address
	minMTU    uint32 // bytes
	etherType uint16
	maxLists  int // path lists that the leaves of its trie have room for
	maxRoutes int // prefixes that its trie has room for

	has     func(netip.Addr) bool // whether it is one of the family
	from    func(netip.Addr) A
	compare func(a, b A) int
	put     func([]byte, A) []byte
	via4    func(A) hdr.Addr4 // what Adj.Via says of a next hop
}

var family4 = family[hdr.Addr4]{
	name: "IPv4", bits: 32, minMTU: 68, etherType: hdr.TypeIPv4, maxLists: listMask4, maxRoutes: math.MaxInt32,
	has:     netip.Addr.Is4,
	from:    hdr.Addr4From,
	compare: cmp.Compare[hdr.Addr4],
	put:     func(b []byte, a hdr.Addr4) []byte { return binary.BigEndian.AppendUint32(b, uint32(a)) },
	via4:    func(a hdr.Addr4) hdr.Addr4 { return a },
}

var family6 = family[hdr.Addr6]{
	name: "IPv6", bits: 128, minMTU: 1280, etherType: hdr.TypeIPv6, maxLists: noScope, maxRoutes: maxRoutes6,
	has:     netip.Addr.Is6,
	from:    hdr.Addr6From,
	compare: hdr.Addr6.Compare,
	put: func(b []byte, a hdr.Addr6) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, a.Hi), a.Lo)
	},
	via4: func(hdr.Addr6) hdr.Addr4 { return 0 },
}

func (f *family[A]) addr(a netip.Addr) (out A, err error) {
	if !f.has(a) {
		return out, fmt.Errorf("fib: %v: not an %s address: %w", a, f.name, ErrInvalid)
	}
	return f.from(a), nil
}

func (f *family[A]) addrOf(p netip.Prefix) A { return f.from(p.Addr()) }

func (f *family[A]) pack(p netip.Prefix) prefix[A] {
	return prefix[A]{f.from(p.Addr()), uint8(p.Bits())}
}

// order sorts a prefix before all that lie within it.
func (f *family[A]) order(a, b prefix[A]) int {
	if c := f.compare(a.addr, b.addr); c != 0 {
		return c
	}
	return int(a.bits) - int(b.bits)
}

// hop returns a next hop of a route to p as the RIB has it. A host route onto
// a link is its own next hop there: nothing else could be asked for.
func (f *family[A]) hop(n NextHop, p netip.Prefix) path[A] {
	out := path[A]{iface: n.Iface, weight: max(1, n.Weight)}
	switch {
	case n.Via.IsValid():
		out.via = f.from(n.Via)
	case p.IsSingleIP():
		out.via = f.from(p.Addr())
	}
	return out
}

// paths returns the next hops of a route in their one order.
func (f *family[A]) paths(r *Route, into []path[A]) []path[A] {
	for _, n := range r.NextHops {
		if r.Type == TypeUnicast {
			into = append(into, f.hop(n, r.Prefix))
		} else {
			into = append(into, path[A]{iface: n.Iface, weight: 1})
		}
	}
	if len(into) > 1 {
		slices.SortFunc(into, func(a, b path[A]) int {
			return cmp.Or(cmp.Compare(a.iface, b.iface), f.compare(a.via, b.via), cmp.Compare(a.weight, b.weight))
		})
	}
	return into
}
