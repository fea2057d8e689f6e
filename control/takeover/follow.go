package takeover

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// ErrGone means that the TAP is not there any more under its name.
var ErrGone = errors.New("the TAP is gone")

// Now reads what the host has configured on the TAP since, and returns what of
// it could not be given back. The error wraps ErrGone if somebody has deleted
// or renamed the TAP.
func (t *Takeover) Now() (now *Snapshot, odd []error, err error) {
	link, err := netlink.LinkByName(t.Host.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil, fmt.Errorf("takeover: %s: %w", t.Host.Name, ErrGone)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("takeover: find %s: %w", t.Host.Name, err)
	}
	if link.Type() != "tuntap" {
		return nil, nil, fmt.Errorf("takeover: %s is a %s now: %w", t.Host.Name, link.Type(), ErrGone)
	}
	now, odd, err = read(link)
	if err != nil {
		return nil, nil, err
	}
	now.TxQueueLen = t.Host.TxQueueLen // the TAP has one of its own
	return now, odd, nil
}

// Update makes now what GiveBack and Restore give the host. It writes the
// record as a whole, so that a reader finds the old one or the new one. It must
// not be called at the same time as GiveBack.
func (t *Takeover) Update(now Snapshot) error {
	if err := t.edit(func(r *record) { r.Host = now }); err != nil {
		return err
	}
	t.Host = &now
	return nil
}
