package fib

import "github.com/skein-dataplane/skein/hdr"

// A Table6 maps IPv6 addresses to adjacencies by the longest matching prefix.
// It never changes, so any number of goroutines may read it, for as long as
// they like. The zero Table6 has no routes.
//
// It is a trie with a first stride of 16 bits. From there on the prefixes decide:
// up to six pieces of what lies below an entry are ranges, which fill one cache
// line and end a word of the address at once. Where there are more, a block of
// two, four or eight such ranges takes their place, or, where they lie unevenly, a
// tree of them, and in the end a page of 16 to 16,384 entries that lead to all
// these: pages and blocks grow until few of their entries lead to another level,
// as the nodes of an LC-trie do (Nilsson and Karlsson, IP-Address Lookup Using
// LC-Tries, 1999). So most ways in a table of a thousand lead over the root and one
// or two cache lines, in one of a million over one page more.
//
// Link-local addresses are those of a link: LookupLink looks them up. Lookup
// and LookupVector find no route for them, not even the default one.
type Table6 struct {
	ends
	vias   []hdr.Addr6
	root   *root6
	links  uint32 // entry for fe80::/32, where addresses have their interface in the next 32 bits
	pages  [][]uint32
	ranges [][]ranges
}

// A root6 is in pieces, so that a change copies little of it.
type root6 [256]*page

func (r *root6) at(a hdr.Addr6) uint32 { return r[a.Hi>>56][a.Hi>>48&0xff] }

// Lookup returns the index of the adjacency for dst. Where there are several
// next hops, the low 6 bits of hash choose one, so that a flow keeps to its path
// (RFC 2991, RFC 6438). Index 0 is the NoRoute adjacency.
func (t *Table6) Lookup(dst hdr.Addr6, hash uint32) uint32 {
	return t.Choose(t.Leaf(dst), hash)
}

// Leaf returns what the trie holds for dst, for Choose to take an adjacency from.
func (t *Table6) Leaf(dst hdr.Addr6) uint32 {
	if t.root == nil {
		return 0
	}
	return t.walk(t.root.at(dst), dst)
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
		w := wordFor(e, &dst)
		if toPage(e) {
			e = t.inPage(e, w)
		} else {
			e = t.rangesAt(rangesFor(e, w)).find(w)
		}
	}
	return e
}

// wordFor returns the word of dst that what e leads to is about.
func wordFor(e uint32, dst *hdr.Addr6) uint64 {
	w := dst.Hi
	if e&isLow != 0 {
		w = dst.Lo
	}
	return w
}

// inPage returns the entry for w of the page that e leads to.
func (t *Table6) inPage(e uint32, w uint64) uint32 {
	stride := e>>(classShift-1)&0xe + 2
	n := e&lineMask<<lineShift + uint32(w>>(e>>placeShift&63))&(1<<stride-1)
	return t.pages[n/wordsPerSlab][n%wordsPerSlab]
}

// rangesFor returns the number of the ranges for w of the block that e leads to.
func rangesFor(e uint32, w uint64) uint32 {
	v := e & blockMask
	size := v & -v
	return (v-size)>>1 + uint32(w>>(e>>placeShift&63))&(size-1)
}

func (t *Table6) rangesAt(n uint32) *ranges { return &t.ranges[n/rangesPerSlab][n%rangesPerSlab] }

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
