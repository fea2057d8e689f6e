package fib

import "slices"

// A cow is a slice that snapshots share: it copies what they can see before it
// writes there. Appending writes where they cannot see.
type cow[T comparable] struct {
	v       []T
	seen    int // elements that a snapshot can see
	changed bool
}

func (c *cow[T]) set(i int, x T) {
	if c.v[i] == x {
		return
	}
	if i < c.seen {
		c.v, c.seen = slices.Clone(c.v), 0
	}
	c.v[i] = x
	c.changed = true
}

func (c *cow[T]) add(x T) int {
	c.v = append(c.v, x)
	c.changed = true
	return len(c.v) - 1
}

func (c *cow[T]) publish() []T {
	c.seen, c.changed = len(c.v), false
	return c.v[:len(c.v):len(c.v)]
}
