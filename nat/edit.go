package nat

import (
	"fmt"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// An Edit is the next Services in the making.
type Edit struct {
	next  Services
	fresh map[*servicePage]bool // nobody else sees these
}

// Edit begins a change of s, which stays as it is. s may be nil.
func (s *Services) Edit() *Edit {
	e := &Edit{fresh: map[*servicePage]bool{}}
	if s != nil {
		e.next = *s
	}
	e.next.dir = slices.Clone(e.next.dir)
	if len(e.next.dir) == 0 {
		e.next.dir = []*servicePage{new(servicePage)}
	}
	return e
}

// Done ends the change. The Edit is of no use any more.
func (e *Edit) Done() *Services { return &e.next }

// Own sets which addresses are the node's own.
func (e *Edit) Own(addrs []hdr.Addr6) {
	own := slices.Clone(addrs)
	slices.SortFunc(own, hdr.Addr6.Compare)
	e.next.own = slices.Compact(own)
}

// Set puts a front in, in the place of the one with the same key if there is
// one.
func (e *Edit) Set(f *Front) error {
	hash := f.Key.hash()
	for {
		p := e.mine(hash)
		if p.put(f, hash) {
			e.next.keys++
			return nil
		}
		if p.replace(f, hash) {
			return nil
		}
		if p.depth == maxDepth {
			return fmt.Errorf("nat: services: no place for %v", f.Key)
		}
		e.split(p, hash)
	}
}

// Delete takes the front with a key out, and reports whether there was one.
func (e *Edit) Delete(k FrontKey) bool {
	hash := k.hash()
	if e.next.page(hash).find(&k, hash) == nil {
		return false
	}
	p := e.mine(hash)
	old := p.fronts
	depth := p.depth
	*p = servicePage{depth: depth}
	for _, f := range old {
		if f != nil && f.Key != k {
			p.put(f, f.Key.hash())
		}
	}
	e.next.keys--
	return true
}

// mine returns the page for a hash as one that may be written to.
func (e *Edit) mine(hash uint64) *servicePage {
	p := e.next.page(hash)
	if e.fresh[p] {
		return p
	}
	c := *p
	e.point(hash, &c)
	return &c
}

// point makes the directory lead to p for all hashes that share p.depth bits
// with hash.
func (e *Edit) point(hash uint64, p *servicePage) {
	free := e.next.depth - p.depth
	first := hash >> (64 - p.depth) << free
	for i := range uint64(1) << free {
		e.next.dir[first+i] = p
	}
	e.fresh[p] = true
}

// split makes two pages of p, which is that for hash.
func (e *Edit) split(p *servicePage, hash uint64) {
	if p.depth == e.next.depth {
		wide := make([]*servicePage, 0, 2*len(e.next.dir))
		for _, q := range e.next.dir {
			wide = append(wide, q, q)
		}
		e.next.dir = wide
		e.next.depth++
	}
	var half [2]*servicePage
	bit := 63 - p.depth
	for i := range half {
		half[i] = &servicePage{depth: p.depth + 1}
		e.point(hash&^(1<<bit)|uint64(i)<<bit, half[i])
	}
	for _, f := range p.fronts {
		if f != nil {
			h := f.Key.hash()
			half[h>>bit&1].put(f, h)
		}
	}
	delete(e.fresh, p)
}

// put adds a front if its key is not there and the page is not full.
func (p *servicePage) put(f *Front, hash uint64) bool {
	if p.used >= pageFull {
		return false
	}
	at := hash % pageSlots
	for ; p.fronts[at] != nil; at = (at + 1) % pageSlots {
		if p.keys[at] == f.Key {
			return false
		}
	}
	p.fronts[at], p.keys[at] = f, f.Key
	p.used++
	return true
}

func (p *servicePage) replace(f *Front, hash uint64) bool {
	for at := hash % pageSlots; p.fronts[at] != nil; at = (at + 1) % pageSlots {
		if p.keys[at] == f.Key {
			p.fronts[at] = f
			return true
		}
	}
	return false
}
