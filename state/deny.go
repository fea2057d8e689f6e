package state

import (
	"fmt"
	"net/netip"

	"github.com/skein-dataplane/skein/fib"
)

// A Deny is the sources whose packets are dropped before anything else is done
// with them. It never changes.
type Deny struct {
	T4 *fib.Table4 // never nil; what has a route is denied
	T6 *fib.Table6
}

// NewDeny returns the Deny of prefixes of both families. It takes hundreds of
// thousands; the error names a prefix that makes no sense.
func NewDeny(prefixes []netip.Prefix) (*Deny, error) {
	v4, v6 := fib.NewRIB4(), fib.NewRIB6()
	for _, p := range prefixes {
		r := fib.Route{Prefix: p, Type: fib.TypeBlackhole, Source: fib.SourceStatic}
		add := v4.Add
		if p.Addr().Is6() {
			add = v6.Add
		}
		if err := add(r); err != nil {
			return nil, fmt.Errorf("state: deny %s: %w", p, err)
		}
	}
	return &Deny{T4: v4.Commit(), T6: v6.Commit()}, nil
}
