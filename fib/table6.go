package fib

import (
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

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
//	 31 30 29       26 25             0
//	| 1 | r | byte    | page or ranges |
//	| 0 | length   | path list         |   0: no route
//	     30      23 22               0
//
// byte is the index of the address's byte that a page is indexed by, or that
// ranges begin at. The length is for the writer, as in a Table4.
//
// Link-local addresses are those of a link: LookupLink looks them up.
type Table6 struct {
	ends
	vias   []hdr.Addr6
	root   *root4
	links  uint32 // entry for fe80::/32, where addresses have their interface in the next 32 bits
	pages  []*[perSlab]page
	ranges []*[perSlab]ranges
}

const (
	isPointer = 1 << 31
	isRanges  = 1 << 30
	byteShift = 26
	isLow     = 8 << byteShift // the bytes of the lower word
	blockMask = 1<<byteShift - 1

	lengthShift6 = 23
	listMask6    = 1<<lengthShift6 - 1
)

// maxStarts is such that ranges fill two cache lines.
const maxStarts = 10

// ranges divide the addresses that have the bits before in common by one of
// their words: those from start[i-1] on, and before start[i], have entry[i].
// Unused starts are all ones, and the entries after them repeat the last.
type ranges struct {
	start [maxStarts]uint64
	entry [maxStarts + 1]uint32
	n     uint32 // starts in use
}

// find returns the entry for word w. That no start is left out makes it one
// straight line of instructions, which packets overlap in.
func (r *ranges) find(w uint64) uint32 {
	n := uint64(maxStarts)
	for i := range r.start {
		_, before := bits.Sub64(w, r.start[i], 0)
		n -= before
	}
	return r.entry[min(n, maxStarts)]
}

// Lookup returns the index of the adjacency for dst. Where there are several
// next hops, the low 6 bits of hash choose one, so that a flow keeps to its path
// (RFC 2991, RFC 6438). Index 0 is the NoRoute adjacency. dst is not to be
// link-local: see LookupLink.
func (t *Table6) Lookup(dst hdr.Addr6, hash uint32) uint32 {
	if t.root == nil {
		return 0
	}
	return t.end(t.walk(t.root[dst.Hi>>48], dst)&listMask6, hash)
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
	if e&isRanges != 0 {
		return t.ranges[n/perSlab][n%perSlab].find(w)
	}
	return t.pages[n/perSlab][n%perSlab][w>>(56-e>>byteShift&7*8)&0xff]
}

// LookupVector sets adj[i] to what Lookup returns for dst[i] and hash[i].
// hash and adj have at least the length of dst, and do not overlap.
//
// It takes the whole vector through one level of the trie before the next, so
// that the cache misses of a level overlap.
func (t *Table6) LookupVector(dst []hdr.Addr6, hash, adj []uint32) {
	adj, hash = adj[:len(dst)], hash[:len(dst)]
	if t.root == nil {
		clear(adj)
		return
	}
	left := uint32(0)
	for i := range dst {
		adj[i] = t.root[dst[i].Hi>>48]
		left |= adj[i]
	}
	for left >= isPointer {
		left = 0
		for i, e := range adj {
			if e >= isPointer {
				adj[i] = t.step(e, dst[i])
				left |= adj[i]
			}
		}
	}
	for i, e := range adj {
		b := t.bundles[e&listMask6]
		adj[i] = b.first
		if b.mask != 0 {
			adj[i] = t.buckets[b.first+hash[i]&b.mask]
		}
	}
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
