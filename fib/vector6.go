package fib

import "github.com/skein-dataplane/skein/hdr"

// LookupVector sets adj[i] to what Lookup returns for dst[i] and hash[i].
// hash and adj have at least the length of dst, and do not overlap.
func (t *Table6) LookupVector(dst []hdr.Addr6, hash, adj []uint32) {
	adj, hash = adj[:len(dst)], hash[:len(dst)]
	t.Leaves(dst, adj)
	for i, leaf := range adj {
		adj[i] = t.Choose(leaf, hash[i])
	}
}

// Choose returns the index of the adjacency that a flow with such a hash takes
// of those that a leaf leads to. Index 0 is the NoRoute one.
func (t *Table6) Choose(leaf, hash uint32) uint32 { return t.choose(leaf&listMask6, hash) }

// Leaves sets leaves[i] to what the trie holds for dst[i], for Choose to take an
// adjacency from. leaves has at least the length of dst.
//
// It takes the whole vector through one level of the trie before the next, so
// that the cache misses of a level overlap and no branch goes another way for
// every other packet (BenchmarkLookup, BenchmarkLookupVector).
func (t *Table6) Leaves(dst []hdr.Addr6, leaves []uint32) {
	leaves = leaves[:len(dst)]
	if t.root == nil {
		clear(leaves)
		return
	}
	if len(dst) <= shortVector {
		for i, a := range dst {
			leaves[i] = t.walk(t.root.at(a), a)
		}
		return
	}
	all := uint32(0)
	for i, a := range dst {
		e := t.root.at(a)
		leaves[i] = e
		all |= e
	}
	if all < isPointer {
		return
	}
	for at := 0; at < len(dst); at += maxBatch {
		end := min(at+maxBatch, len(dst))
		t.descend(dst[at:end], leaves[at:end])
	}
}

const (
	// shortVector is the number of packets up to which looking them up one by
	// one is faster than getting ready for more (BenchmarkLookup against
	// BenchmarkLookupVector).
	shortVector = 8
	maxBatch    = 256
)

// A batch has the packets that are to go on.
type batch struct {
	n      int
	at     [maxBatch]uint8
	ranges [maxBatch]*ranges // that packet at[i] comes to
	words  [maxBatch]uint64  // by which it goes on there
}

// descend takes entries of the root to their leaves. There are at most maxBatch.
//
// The loops of its steps read what is likely not in the cache, and nothing in
// them depends on what another packet has read: then the processor waits for
// many of those reads at once. Who is to go on is written down without a
// branch, as that would go another way for every other packet: each packet is,
// and counts or does not.
func (t *Table6) descend(dst []hdr.Addr6, entries []uint32) (read uint64) {
	var b batch
	pages := t.stepRoot(&b, dst, entries)
	for b.n > 0 {
		for pages {
			pages = t.stepPages(&b, dst, entries)
		}
		read += t.readRanges(&b, dst, entries)
		pages = b.stepRanges(entries)
	}
	return read
}

// stepRoot takes the page that an entry of the root leads to, and reports whether
// there are further ones. It is of the upper word.
func (t *Table6) stepRoot(b *batch, dst []hdr.Addr6, entries []uint32) (pages bool) {
	entries = entries[:len(dst)]
	n, blocks := 0, 0
	for i, e := range entries {
		if toPage(e) { // nearly always, or nearly never
			e = t.inPage(e, dst[i].Hi)
			entries[i] = e
		}
		b.at[n&(maxBatch-1)] = uint8(i)
		n += int(e >> 31)
		blocks += int(e >> 31 & (e >> 30))
	}
	b.n = n
	return blocks < n
}

// stepPages takes those packets further that come to a page.
func (t *Table6) stepPages(b *batch, dst []hdr.Addr6, entries []uint32) (pages bool) {
	n, blocks := 0, 0
	for _, i := range b.at[:min(b.n, maxBatch)] {
		e := entries[i]
		if toPage(e) {
			e = t.inPage(e, wordFor(e, &dst[i]))
			entries[i] = e
		}
		b.at[n&(maxBatch-1)] = i
		n += int(e >> 31)
		blocks += int(e >> 31 & (e >> 30))
	}
	b.n = n
	return blocks < n
}

// readRanges finds the ranges that all packets come to, and reads the first word
// of each, so that they are on their way; what it returns is of no other use.
func (t *Table6) readRanges(b *batch, dst []hdr.Addr6, entries []uint32) (read uint64) {
	for j, i := range b.at[:min(b.n, maxBatch)] {
		e := entries[i]
		w := wordFor(e, &dst[i])
		r := t.rangesAt(rangesFor(e, w))
		b.ranges[j], b.words[j] = r, w
		read += r.start[0]
	}
	return read
}

// stepRanges takes packets further from the ranges that they come to.
func (b *batch) stepRanges(entries []uint32) (pages bool) {
	n, blocks := 0, 0
	for j, i := range b.at[:min(b.n, maxBatch)] {
		w, r := b.words[j], b.ranges[j]
		s := &r.start
		more := less(w, s[0]) + less(w, s[1]) + less(w, s[2]) + less(w, s[3]) + less(w, s[4])
		e := r.entry[rangeStarts-min(more, rangeStarts)]
		entries[i] = e
		b.at[n&(maxBatch-1)] = i
		n += int(e >> 31)
		blocks += int(e >> 31 & (e >> 30))
	}
	b.n = n
	return blocks < n
}
