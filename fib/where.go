package fib

import "slices"

// maxWhere is the number of prefixes up to which it is known which ones go a way.
// Of those that more go, nobody wants to know them often: taking an uplink
// away is dear, but not a pod.
const maxWhere = 1024

// where says which prefixes go a way, as long as they are few.
type where[A Address] struct {
	n    int // how many do
	few  []prefix[A]
	lost bool // they were more than maxWhere at some time
}

func (x *where[A]) add(p prefix[A]) {
	x.n++
	if x.lost = x.lost || x.n > maxWhere; x.lost {
		x.few = nil
	} else {
		x.few = append(x.few, p)
	}
}

func (x *where[A]) remove(p prefix[A]) {
	x.n--
	if i := slices.Index(x.few, p); i >= 0 {
		last := len(x.few) - 1
		x.few[i] = x.few[last]
		x.few = x.few[:last]
	}
}
