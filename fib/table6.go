package fib

import "github.com/skein-dataplane/skein/hdr"

// A Table6 maps IPv6 addresses to adjacencies by the longest matching prefix.
// It never changes, so any number of goroutines may read it, for as long as
// they like. The zero Table6 has no routes.
//
// It is a trie with a first stride of 16 bits. Where many prefixes lie close to
// each other it goes on with pages, of 8 bits each, as Table4 has them; where
// few do, a range ends the upper or the lower word of the address at once. So
// the way to a /48 in a table of a million is short, and so is that to a host
// among a thousand. An entry is a leaf or leads on:
//
//	 31  30  29   26  25  24          0
//	| 1 | 0 | byte  |  0 | page        |
//	| 1 | 1 | byte  |many| ranges      |
//	| 0 | length   |   path list       |   0: no route
//	     30      23 22               0
//
// byte is the index of the address's byte that a page is indexed by, or that
// ranges begin at. The length is for the writer, as in a Table4.
//
// Link-local addresses are those of a link: LookupLink looks them up.
type Table6 struct {
	ends
	vias  []hdr.Addr6
	root  *root6
	links uint32 // entry for fe80::/32, where addresses have their interface in the next 32 bits
	pages []*[perSlab]page
	few   []*[perSlab]fewRanges
	many  []*[perSlab]manyRanges
}

// A root6 is in pieces, so that a change copies little of it.
type root6 [256]*page

func (r *root6) at(a hdr.Addr6) uint32 { return r[a.Hi>>56][a.Hi>>48&0xff] }

const (
	isPointer = 1 << 31
	isRanges  = 1 << 30
	byteShift = 26
	isLow     = 8 << byteShift // the bytes of the lower word
	isMany    = 1 << 25        // many ranges
	blockMask = 1<<25 - 1

	lengthShift6 = 23
	listMask6    = 1<<lengthShift6 - 1
)

// Lookup returns the index of the adjacency for dst. Where there are several
// next hops, the low 6 bits of hash choose one, so that a flow keeps to its path
// (RFC 2991, RFC 6438). Index 0 is the NoRoute adjacency. dst is not to be
// link-local: see LookupLink.
func (t *Table6) Lookup(dst hdr.Addr6, hash uint32) uint32 {
	if t.root == nil {
		return 0
	}
	return t.end(t.walk(t.root.at(dst), dst)&listMask6, hash)
}

// LookupLink returns the index of the adjacency for a packet that leaves by, or
// came in by, an interface, and is for the link-local address dst: that of its
// neighbor, or of the link, or of whoever has the address there. Without a
// route to fe80::/64 on the link there is none; the default route is no way
// to a link-local address (RFC 4007, section 9). Other addresses have none here.
func (t *Table6) LookupLink(iface uint32, dst hdr.Addr6, hash uint32) uint32 {
	if dst.Hi != hdr.LinkLocalHi || t.root == nil {
		return 0
	}
	list := t.walk(t.links, hdr.Addr6{Hi: dst.Hi | uint64(iface), Lo: dst.Lo}) & listMask6
	if list == 0 {
		return 0
	}
	return t.end(list, hash)
}

func (t *Table6) walk(e uint32, dst hdr.Addr6) uint32 {
	for e >= isPointer {
		e = t.step(e, dst)
	}
	return e
}

// step returns the entry for dst in what e leads to.
func (t *Table6) step(e uint32, dst hdr.Addr6) uint32 {
	w := dst.Hi
	if e&isLow != 0 {
		w = dst.Lo
	}
	n := e & blockMask
	if e&isRanges == 0 {
		return t.pages[n/perSlab][n%perSlab][w>>(56-e>>byteShift&7*8)&0xff]
	}
	if e&isMany == 0 {
		return t.few[n/perSlab][n%perSlab].find(w)
	}
	return t.many[n/perSlab][n%perSlab].find(w)
}

// Adj returns the adjacency with index i, which a lookup in t has returned.
// Any other index leads to the NoRoute adjacency.
func (t *Table6) Adj(i uint32) *Adj { return t.adj(i) }

// Via returns the next hop of the adjacency with index i; the zero address on a
// TUN, on a link whose packets ask for their own destination, and for any
// index that no lookup in t has returned. It lies beside the adjacency, so
// that this fills one cache line for IPv6 too: who forwards has no use for it.
func (t *Table6) Via(i uint32) hdr.Addr6 {
	if int(i) >= len(t.vias) {
		return hdr.Addr6{}
	}
	return t.vias[i]
}

// Describe puts the adjacency with index i in words, as ip -6 route would: "via
// fe80::1 dev eth0"; see Table4.Describe.
func (t *Table6) Describe(i uint32, ifname func(uint32) string) string {
	via := ""
	if a := t.Via(i); !a.IsUnspecified() {
		via = a.String()
	}
	return t.adj(i).describe(via, ifname)
}
