package fib

import "github.com/skein-dataplane/skein/hdr"

// shortVector is the number of packets up to which looking them up one by one
// is faster than getting ready for more (BenchmarkLookup against
// BenchmarkLookupVector).
const shortVector = 8

// LookupVector sets adj[i] to what Lookup returns for dst[i] and hash[i].
// hash and adj have at least the length of dst, and do not overlap.
//
// It takes the whole vector through one level of the trie before the next, and
// those packets together that have the same to do, so that the cache misses of
// a level overlap and no branch goes another way for every other packet. At
// vectors of 256 that is 8 ns per packet with one route, 19 with a thousand, 20
// with 100,000 and 29 to 42 with a million, of the global table's lengths; one by
// one it is 9, 30, 27 and more than 100 (BenchmarkLookup, BenchmarkLookupVector,
// a busy 2-core Zen 5 VM).
func (t *Table6) LookupVector(dst []hdr.Addr6, hash, adj []uint32) {
	adj, hash = adj[:len(dst)], hash[:len(dst)]
	if t.root == nil {
		clear(adj)
		return
	}
	if len(dst) <= shortVector {
		for i, a := range dst {
			adj[i] = t.Lookup(a, hash[i])
		}
		return
	}
	for at := 0; at < len(dst); at += maxBatch {
		end := min(at+maxBatch, len(dst))
		t.leaves(dst[at:end], adj[at:end])
	}
	for i, e := range adj {
		b := t.bundles[e&listMask6]
		adj[i] = b.first
		if b.mask != 0 {
			adj[i] = t.buckets[b.first+hash[i]&b.mask]
		}
	}
}

const maxBatch = 256

// A batch has the packets that are to go on, by what their entry leads to.
type batch struct {
	pages, few, many struct {
		n  int
		at [maxBatch]uint8
	}
}

// file files packets under what their entry leads to. There is no branch in it,
// as it would go another way for every other packet: each packet is written
// down under all three, and counts under one at most. at may be b.pages.at.
func (b *batch) file(at []uint8, adj []uint32) {
	pages, few, many := 0, b.few.n, b.many.n
	for _, i := range at {
		e := adj[i]
		pointer := e >> 31
		ranges := e >> 30 & pointer
		more := e >> 25 & ranges
		b.pages.at[pages&(maxBatch-1)] = i
		b.few.at[few&(maxBatch-1)] = i
		b.many.at[many&(maxBatch-1)] = i
		pages += int(pointer - ranges)
		few += int(ranges - more)
		many += int(more)
	}
	b.pages.n, b.few.n, b.many.n = pages, few, many
}

// leaves sets adj to the leaves for dst, of which there are at most maxBatch.
// What it returns is of no use, but to have memory read before it is needed.
func (t *Table6) leaves(dst []hdr.Addr6, adj []uint32) (read uint64) {
	var b batch
	var low [maxBatch]uint8 // packets whose upper word was not the whole answer
	adj = adj[:len(dst)]
	at := low[:min(len(dst), maxBatch)]
	for i := range at {
		adj[i] = t.root.at(dst[i])
		at[i] = uint8(i)
	}
	for len(at) > 0 {
		b.file(at, adj)
		for b.pages.n != 0 {
			t.stepPages(&b, dst, adj)
		}
		n := 0
		read += t.stepFew(b.few.at[:min(b.few.n, maxBatch)], dst, adj)
		read += t.stepMany(b.many.at[:min(b.many.n, maxBatch)], dst, adj)
		for _, found := range [...][]uint8{b.few.at[:min(b.few.n, maxBatch)], b.many.at[:min(b.many.n, maxBatch)]} {
			for _, i := range found {
				low[n&(maxBatch-1)] = i
				n += int(adj[i] >> 31)
			}
		}
		b.few.n, b.many.n = 0, 0
		at = low[:min(n, maxBatch)]
	}
	return read
}

func wordFor(e uint32, dst *hdr.Addr6) uint64 {
	w := dst.Hi
	if e&isLow != 0 {
		w = dst.Lo
	}
	return w
}

// The steps below read what is likely not in the cache in loops that do little
// else, and in which nothing else depends on what is read: then the processor
// waits for many of those reads at once.

func (t *Table6) stepPages(b *batch, dst []hdr.Addr6, adj []uint32) {
	at := b.pages.at[:min(b.pages.n, maxBatch)]
	for _, i := range at {
		e := adj[i]
		n := e & blockMask
		adj[i] = t.pages[n/perSlab][n%perSlab][wordFor(e, &dst[i])>>(56-e>>byteShift&7*8)&0xff]
	}
	b.file(at, adj)
}

func (t *Table6) stepFew(at []uint8, dst []hdr.Addr6, adj []uint32) (read uint64) {
	for _, i := range at {
		n := adj[i] & blockMask
		read += t.few[n/perSlab][n%perSlab].start[0]
	}
	for _, i := range at {
		e := adj[i]
		n := e & blockMask
		adj[i] = t.few[n/perSlab][n%perSlab].find(wordFor(e, &dst[i]))
	}
	return read
}

func (t *Table6) stepMany(at []uint8, dst []hdr.Addr6, adj []uint32) (read uint64) {
	var group [maxBatch]uint8
	for _, i := range at {
		n := adj[i] & blockMask
		read += t.many[n/perSlab][n%perSlab].first[0]
	}
	for _, i := range at {
		e := adj[i]
		n := e & blockMask
		group[i] = uint8(t.many[n/perSlab][n%perSlab].groupOf(wordFor(e, &dst[i])))
	}
	for _, i := range at {
		n := adj[i] & blockMask
		read += t.many[n/perSlab][n%perSlab].group[min(group[i], groups-1)].start[0]
	}
	for _, i := range at {
		e := adj[i]
		n := e & blockMask
		adj[i] = t.many[n/perSlab][n%perSlab].group[min(group[i], groups-1)].find(wordFor(e, &dst[i]))
	}
	return read
}
