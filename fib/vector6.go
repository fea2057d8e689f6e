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

// Only returns the index of the adjacency that a leaf leads to, and whether it
// leads to no other: then no hash is needed to Choose.
func (t *Table6) Only(leaf uint32) (adj uint32, ok bool) { return t.only(leaf & listMask6) }

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

// A batch has the packets that are to go on, by what their entry leads to.
type batch struct {
	nPages, nBlocks int
	pages, blocks   [maxBatch]uint8
	ranges          [maxBatch]*ranges // that packet blocks[i] comes to
	words           [maxBatch]uint64  // by which it goes on there
}

// descend takes entries of the root to their leaves. There are at most maxBatch.
//
// The loops of its steps read what is likely not in the cache, and nothing in
// them depends on what another packet has read: then the processor waits for
// many of those reads at once. Who is to go on is filed under what its entry
// leads to, and without a branch, as that would go another way for every other
// packet: each packet is written down under both, and counts under one at most.
func (t *Table6) descend(dst []hdr.Addr6, entries []uint32) (read uint64) {
	var b batch
	t.stepRoot(&b, dst, entries)
	for b.nPages+b.nBlocks > 0 {
		for b.nPages > 0 {
			t.stepPages(&b, dst, entries)
		}
		read += t.readRanges(&b, dst, entries)
		b.stepRanges(entries)
	}
	return read
}

// stepRoot takes the page that an entry of the root leads to. It is of the upper
// word.
func (t *Table6) stepRoot(b *batch, dst []hdr.Addr6, entries []uint32) {
	entries = entries[:len(dst)]
	pages, blocks := 0, 0
	for i, e := range entries {
		if toPage(e) { // nearly always, or nearly never
			e = t.inPage(e, dst[i].Hi)
			entries[i] = e
		}
		b.pages[pages&(maxBatch-1)] = uint8(i)
		b.blocks[blocks&(maxBatch-1)] = uint8(i)
		on := e >> 31
		toBlock := on & (e >> 30)
		pages += int(on - toBlock)
		blocks += int(toBlock)
	}
	b.nPages, b.nBlocks = pages, blocks
}

// stepPages takes those packets further that come to a page.
func (t *Table6) stepPages(b *batch, dst []hdr.Addr6, entries []uint32) {
	pages, blocks := 0, b.nBlocks
	for _, i := range b.pages[:min(b.nPages, maxBatch)] {
		e := entries[i]
		e = t.inPage(e, wordFor(e, &dst[i]))
		entries[i] = e
		b.pages[pages&(maxBatch-1)] = i
		b.blocks[blocks&(maxBatch-1)] = i
		on := e >> 31
		toBlock := on & (e >> 30)
		pages += int(on - toBlock)
		blocks += int(toBlock)
	}
	b.nPages, b.nBlocks = pages, blocks
}

// readRanges finds the ranges that packets come to, and reads the first word of
// each, so that they are on their way; what it returns is of no other use.
func (t *Table6) readRanges(b *batch, dst []hdr.Addr6, entries []uint32) (read uint64) {
	for j, i := range b.blocks[:min(b.nBlocks, maxBatch)] {
		e := entries[i]
		w := wordFor(e, &dst[i])
		r := t.rangesAt(rangesFor(e, w))
		b.ranges[j], b.words[j] = r, w
		read += r.start[0]
	}
	return read
}

// stepRanges takes packets further from the ranges that they come to.
func (b *batch) stepRanges(entries []uint32) {
	pages, blocks := 0, 0
	for j, i := range b.blocks[:min(b.nBlocks, maxBatch)] {
		w, r := b.words[j], b.ranges[j]
		s := &r.start
		more := less(w, s[0]) + less(w, s[1]) + less(w, s[2]) + less(w, s[3]) + less(w, s[4])
		e := r.entry[rangeStarts-min(more, rangeStarts)]
		entries[i] = e
		b.pages[pages&(maxBatch-1)] = i
		b.blocks[blocks&(maxBatch-1)] = i
		on := e >> 31
		toBlock := on & (e >> 30)
		pages += int(on - toBlock)
		blocks += int(toBlock)
	}
	b.nPages, b.nBlocks = pages, blocks
}
