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
	link, err := t.findTAP()
	if err != nil {
		return nil, nil, err
	}
	now, odd, err = read(link)
	if err != nil {
		return nil, nil, err
	}
	// A link that is being deleted loses its routes and addresses first. The
	// kernel does not answer this question before it is through with it.
	if _, err := t.findTAP(); err != nil {
		return nil, nil, err
	}
	now.ofNIC(t.Host)
	return now, odd, nil
}

// findTAP returns the TAP, or an error that wraps ErrGone.
func (t *Takeover) findTAP() (netlink.Link, error) {
	link, err := netlink.LinkByName(t.Host.Name)
	switch {
	case errors.As(err, &netlink.LinkNotFoundError{}):
		return nil, fmt.Errorf("takeover: %s: %w", t.Host.Name, ErrGone)
	case err != nil:
		return nil, fmt.Errorf("takeover: find %s: %w", t.Host.Name, err)
	case link.Type() != "tuntap":
		return nil, fmt.Errorf("takeover: %s is a %s now: %w", t.Host.Name, link.Type(), ErrGone)
	}
	return link, nil
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

// NoteRedirects has Restore remove the table of package redirect as well. It is
// called before there is one, and is on the disk when it returns.
func (t *Takeover) NoteRedirects() error {
	if t.Redirects() {
		return nil
	}
	return t.edit(func(r *record) { r.Redirects = true })
}

// Redirects reports whether NoteRedirects was called, by this process or by one
// before it.
func (t *Takeover) Redirects() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rec.Redirects
}
