package fib

import "github.com/skein-dataplane/skein/hdr"

// shortVector is the number of packets up to which looking them up one by one
// is faster than getting ready for more (BenchmarkLookup6 against
// BenchmarkLookupVector6).
const shortVector = 8

// LookupVector sets adj[i] to what Lookup returns for dst[i] and hash[i].
// hash and adj have at least the length of dst, and do not overlap.
//
// It takes the whole vector through one level of the trie before the next, and
// those packets together that have the same to do, so that the cache misses of
// a level overlap and no branch goes another way for every other packet.
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
	n  [4]uint16
	at [4][maxBatch]uint8
}

const (
	kindLeaf = iota
	kindPage
	kindFew
	kindMany
)

// put files packet i under what its entry leads to.
func (b *batch) put(i uint8, e uint32) {
	pointer := e >> 31
	ranges := e >> 30 & pointer
	k := (pointer + ranges + e>>25&ranges) & 3
	b.at[k][b.n[k]&(maxBatch-1)] = i
	b.n[k]++
}

// take returns the packets filed under k, which can be filed anew, but for
// those in front of the one that is being looked at.
func (b *batch) take(k int) []uint8 {
	n := b.n[k]
	b.n[k] = 0
	return b.at[k][:min(n, maxBatch)]
}

// leaves sets adj to the leaves for dst, of which there are at most maxBatch.
// What it returns is of no use, but to have memory read before it is needed.
func (t *Table6) leaves(dst []hdr.Addr6, adj []uint32) (read uint64) {
	var b batch
	adj = adj[:len(dst)]
	for i := range dst {
		adj[i] = t.root.at(dst[i])
		b.put(uint8(i), adj[i])
	}
	for b.n[kindPage]|b.n[kindFew]|b.n[kindMany] != 0 {
		for b.n[kindPage] != 0 {
			t.stepPages(&b, dst, adj)
		}
		read += t.stepFew(&b, dst, adj)
		read += t.stepMany(&b, dst, adj)
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
	at := b.take(kindPage)
	for _, i := range at {
		e := adj[i]
		n := e & blockMask
		adj[i] = t.pages[n/perSlab][n%perSlab][wordFor(e, &dst[i])>>(56-e>>byteShift&7*8)&0xff]
	}
	for _, i := range at {
		b.put(i, adj[i])
	}
}

func (t *Table6) stepFew(b *batch, dst []hdr.Addr6, adj []uint32) (read uint64) {
	at := b.take(kindFew)
	for _, i := range at {
		n := adj[i] & blockMask
		read += t.few[n/perSlab][n%perSlab].start[0]
	}
	for _, i := range at {
		e := adj[i]
		n := e & blockMask
		is := t.few[n/perSlab][n%perSlab].find(wordFor(e, &dst[i]))
		adj[i] = is
		b.put(i, is)
	}
	return read
}

func (t *Table6) stepMany(b *batch, dst []hdr.Addr6, adj []uint32) (read uint64) {
	var group [maxBatch]uint8
	at := b.take(kindMany)
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
		is := t.many[n/perSlab][n%perSlab].group[min(group[i], groups-1)].find(wordFor(e, &dst[i]))
		adj[i] = is
		b.put(i, is)
	}
	return read
}
