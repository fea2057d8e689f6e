package nat

import (
	"github.com/skein-dataplane/skein/hdr"
)

// Services maps addresses and ports to services. It never changes; an Edit
// makes another one that shares what stays. The zero Services has none.
//
// It is a hash table in pages of pageSlots slots, found by the first bits of a
// key's hash (extendible hashing: Fagin et al., TODS 1979). A change copies the
// page that it is in, and the directory, and no more: 8 KiB at 30,000 keys.
type Services struct {
	dir   []*servicePage // 2^depth; a page stands there as often as its own depth is less
	depth uint8
	keys  int
	own   []hdr.Addr6 // the node's addresses, sorted: where keys without address hold
}

const (
	pageSlots = 64
	pageFull  = 48 // so a search ends after a few steps
	maxDepth  = 24
)

type servicePage struct {
	fronts [pageSlots]*Front // where the hash says, or after
	keys   [pageSlots]FrontKey
	depth  uint8 // how many bits of the hash all its keys share
	used   uint8
}

func (s *Services) page(hash uint64) *servicePage { return s.dir[hash>>(64-s.depth)] }

func (p *servicePage) find(k *FrontKey, hash uint64) *Front {
	for at := hash % pageSlots; ; at = (at + 1) % pageSlots {
		if p.fronts[at] == nil || p.keys[at] == *k {
			return p.fronts[at]
		}
	}
}

// Find returns the front that a packet to k is for, nil if it is for none. An
// address of the node's own that has no such port itself has those that hold
// for all of them.
func (s *Services) Find(k *FrontKey) *Front {
	if len(s.dir) == 0 {
		return nil
	}
	hash := k.hash()
	if f := s.page(hash).find(k, hash); f != nil {
		return f
	}
	return s.findOwn(k)
}

func (s *Services) findOwn(k *FrontKey) *Front {
	if !s.IsOwn(k.Addr) {
		return nil
	}
	return s.FindAny(k)
}

// FindAny returns the front that holds for any address of the node with the port
// and protocol of k: what a packet is for that another node has forwarded, which
// was sent to an address of that node's.
func (s *Services) FindAny(k *FrontKey) *Front {
	if len(s.dir) == 0 {
		return nil
	}
	any := FrontKey{Addr: AnyAddr(k.Addr), Port: k.Port, Proto: k.Proto}
	hash := any.hash()
	return s.page(hash).find(&any, hash)
}

// AnyAddr returns what stands for any address of the node's own of the same
// family: 0.0.0.0, mapped, or ::.
func AnyAddr(a hdr.Addr6) hdr.Addr6 {
	if a.IsMapped4() {
		return Addr4(0)
	}
	return hdr.Addr6{}
}

// IsOwn reports whether an address is one of those of the node where NodePorts
// and hostPorts are.
func (s *Services) IsOwn(a hdr.Addr6) bool {
	low, high := 0, len(s.own)
	for low < high {
		if mid := (low + high) / 2; s.own[mid].Compare(a) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(s.own) && s.own[low] == a
}

// FindVector sets out[i] to what Find returns for keys[i]. It takes up to 256
// keys through each step before the next, so that their cache misses overlap.
// out has at least the length of keys.
func (s *Services) FindVector(keys []FrontKey, out []*Front) {
	out = out[:len(keys)]
	if len(s.dir) == 0 {
		clear(out)
		return
	}
	for len(keys) > 0 {
		n := min(len(keys), 256)
		s.find256(keys[:n], out[:n])
		keys, out = keys[n:], out[n:]
	}
}

func (s *Services) find256(keys []FrontKey, out []*Front) {
	var hashes [256]uint64
	out = out[:len(keys)]
	for i := range keys {
		hashes[i&0xff] = keys[i].hash()
	}
	for i := range keys { // brings the slots into the cache
		h := hashes[i&0xff]
		out[i] = s.page(h).fronts[h%pageSlots]
	}
	for i := range keys {
		h := hashes[i&0xff]
		if out[i] = s.page(h).find(&keys[i], h); out[i] == nil {
			out[i] = s.findOwn(&keys[i])
		}
	}
}

// Len returns how many addresses and ports there are.
func (s *Services) Len() int { return s.keys }

// All calls yield with each front, in no order, until it returns false.
func (s *Services) All(yield func(*Front) bool) {
	for i, p := range s.dir {
		if i > 0 && s.dir[i-1] == p {
			continue
		}
		for _, f := range p.fronts {
			if f != nil && !yield(f) {
				return
			}
		}
	}
}
