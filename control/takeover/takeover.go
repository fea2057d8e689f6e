// Package takeover answers one question: how does Skein get between the host
// and its uplink, and away again?
//
// The uplink moves into a network namespace of its own, and a TAP takes its
// place: same name, MAC, MTU, addresses and routes. That is a transaction.
// Preflight refuses what can't be mirrored and says what would be done. What
// is needed to undo it stands in one file before the first change. Take does
// it step by step; Probe tells whether the host still reaches what it has
// reached before; Commit ends it. Restore undoes it from the file alone, from
// whatever step, as often as one likes.
//
// Namespace and TAP outlive the process, so that a successor can Attach to
// them and the host's packets never see that the daemon has changed.
//
// Maturity: stable for what Preflight lets pass. Routes of router
// advertisements are not kept but asked for again.
package takeover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/tuntap"
)

// Options say what to take over.
type Options struct {
	Dir    string // keeps the records
	Uplink string // name of the interface
	Queues int    // of the TAP

	// Progress is called before each step with what it does; nil: nobody
	// wants to know.
	Progress func(step string)
}

func (o *Options) progress(step string) {
	if o.Progress != nil {
		o.Progress(step)
	}
}

// A Takeover is an uplink that Skein stands before.
type Takeover struct {
	Host  *Snapshot // what the host had on it, or now has on the TAP
	NetNS string    // file of the namespace that the uplink is in
	Tap   *tuntap.Device
	opts  Options

	mu  sync.Mutex // guards rec
	rec *record
}

// Take puts a TAP in the place of an uplink of the calling thread's namespace.
// If it fails, everything is as before, or the error says what is not. The
// caller has the Lock of o.Dir.
//
// The uplink is up in its namespace when Take returns, and the TAP has the
// host's addresses and routes; until its queues are served, packets wait.
func Take(o Options) (t *Takeover, err error) {
	o.progress("look at " + o.Uplink)
	plan := Preflight(o)
	if err := plan.Err(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(recordPath(o.Dir, o.Uplink)); err == nil {
		return nil, fmt.Errorf("takeover: %w: %s says that it is taken over already; if no daemon runs, give it back with skeind restore",
			ErrRefused, recordPath(o.Dir, o.Uplink))
	}
	t = &Takeover{Host: plan.Host, NetNS: netNSPath(o.Dir, o.Uplink), opts: o}
	t.rec = &record{Host: *plan.Host, Index: plan.index, NetNS: t.NetNS}
	for _, s := range t.steps() {
		o.progress(s.what)
		if err := s.do(); err != nil {
			return nil, errors.Join(fmt.Errorf("takeover: %s: %w", s.what, err), t.abandon())
		}
	}
	return t, nil
}

// netNSPath returns the file of the namespace that an uplink moves to.
func netNSPath(dir, uplink string) string { return filepath.Join(dir, "netns", uplink) }

// A step is one change. Restore undoes each of them by what it finds.
type step struct {
	what string
	do   func() error
}

func (t *Takeover) steps() []step {
	name := t.Host.Name
	return []step{
		{"write the record of " + name, func() error { return t.rec.save(t.opts.Dir) }},
		{"make the namespace " + t.NetNS, func() error { return makeNetNS(t.NetNS) }},
		{"make the TAP", t.makeTap},
		{"mark the TAP and let it last", t.markTap},
		{"move " + name + " away", t.moveAway},
		{"set " + name + " up where it is", t.setUp},
		{"name the TAP " + name, t.nameTap},
		{"give the TAP the host's configuration", t.present},
	}
}

// abandon undoes what an unsuccessful Take has done.
func (t *Takeover) abandon() error {
	var failed []error
	if t.Tap != nil {
		failed = append(failed, t.Tap.Delete())
		for _, q := range t.Tap.Queues() {
			failed = append(failed, q.Close(nil)) // it holds no buffers: nobody has used it
		}
	}
	return errors.Join(append(failed, Restore(t.opts))...)
}

// tempName is the TAP's while the uplink still has its own.
func (r *record) tempName() string { return fmt.Sprintf("skein%d", r.Index) }

// tapAlias marks a TAP as Skein's, for people and for Restore.
func tapAlias(uplink string) string { return "skein: stands for " + uplink }

// makeTap makes the TAP under a name of its own, as the uplink's is taken. It
// ends with the process as long as it is not marked.
func (t *Takeover) makeTap() error {
	mac, err := net.ParseMAC(t.Host.MAC)
	if err != nil {
		return err
	}
	t.Tap, err = tuntap.Create(tuntap.Config{Name: t.rec.tempName(), Mode: tuntap.TAP, Queues: t.opts.Queues, Offload: true,
		MTU: t.Host.MTU, MAC: mac})
	return err
}

func (t *Takeover) markTap() error {
	link, err := netlink.LinkByName(t.rec.tempName())
	if err != nil {
		return err
	}
	if err := netlink.LinkSetAlias(link, tapAlias(t.Host.Name)); err != nil {
		return err
	}
	return t.Tap.SetPersist(true)
}

// moveAway moves the uplink into its namespace.
func (t *Takeover) moveAway() error {
	link, err := netlink.LinkByName(t.Host.Name)
	if err != nil {
		return err
	}
	ns, err := netns.GetFromPath(t.NetNS)
	if err != nil {
		return err
	}
	defer ns.Close()
	return netlink.LinkSetNsFd(link, int(ns))
}

// setUp sets the uplink up in its namespace.
func (t *Takeover) setUp() error {
	h, err := handleAt(t.NetNS)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(t.Host.Name)
	if err != nil {
		return err
	}
	if len(link.Attrs().PermHWAddr) == 0 {
		// A MAC that the kernel has chosen, as a veth's, is replaced by udev
		// when the link comes back (MACAddressPolicy= in systemd.link(5)). One
		// that somebody has set is not; a NIC's own is neither. What can't be
		// set while the link is up is left to chance.
		_ = h.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr)
	}
	return h.LinkSetUp(link)
}

func (t *Takeover) nameTap() error {
	link, err := netlink.LinkByName(t.rec.tempName())
	if err != nil {
		return err
	}
	return netlink.LinkSetName(link, t.Host.Name)
}

// present gives the TAP the uplink's configuration.
func (t *Takeover) present() error { return t.Host.asTap().apply() }

// asTap returns the snapshot as it is right for the TAP. The queue of a TAP is
// not in front of a device's own but all there is: with a veth's 0 it would
// drop every packet.
func (s *Snapshot) asTap() *Snapshot {
	out := *s
	out.TxQueueLen = tapQueue
	out.RxVLAN = false // there is nobody to take them out
	return &out
}

// ofNIC takes over what a snapshot of the TAP can't say of the NIC.
func (s *Snapshot) ofNIC(nic *Snapshot) { s.TxQueueLen, s.RxVLAN = nic.TxQueueLen, nic.RxVLAN }

// tapQueue is how many packets the kernel holds for a TAP until Skein reads
// them: about a millisecond of small ones.
const tapQueue = 1000

// Standing reports whether there is an uplink that was taken over completely,
// so that one can Attach to it.
func Standing(dir, uplink string) bool {
	rec, err := load(dir, uplink)
	if err != nil || !rec.Committed || !isNetNS(rec.NetNS) {
		return false
	}
	link, err := netlink.LinkByName(uplink)
	return err == nil && ours(link, uplink)
}

// Attach stands in for a process that has left a takeover standing: it opens
// the TAP, or adopts the descriptors that the other has handed on, and reads
// what the host has configured on it meanwhile.
func Attach(o Options, fds []int) (t *Takeover, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(fds))
		}
	}()
	o.progress("attach to what stands for " + o.Uplink)
	rec, err := load(o.Dir, o.Uplink)
	if err != nil {
		return nil, err
	}
	if !rec.Committed {
		return nil, fmt.Errorf("takeover: attach: the takeover of %s was never completed: give it back first", o.Uplink)
	}
	now, err := Read(o.Uplink)
	if err != nil {
		return nil, err
	}
	t = &Takeover{Host: now, NetNS: rec.NetNS, opts: o, rec: rec}
	t.Host.ofNIC(&rec.Host)
	cfg := tuntap.Config{Name: o.Uplink, Mode: tuntap.TAP, Queues: o.Queues, Offload: true, Persist: true}
	if len(fds) > 0 {
		t.Tap, err = tuntap.Adopt(cfg, fds)
		fds = nil // they are closed if that has failed
	} else {
		t.Tap, err = tuntap.Attach(cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	return t, t.Tap.SetCarrier(true)
}

func closeAll(fds []int) (failed error) {
	for _, fd := range fds {
		failed = errors.Join(failed, unix.Close(fd))
	}
	return failed
}

// Commit says that the takeover is complete and confirmed.
func (t *Takeover) Commit() error {
	t.opts.progress("commit")
	return t.edit(func(r *record) { r.Committed = true })
}

// edit changes the record and writes it down.
func (t *Takeover) edit(change func(*record)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := *t.rec
	change(&next)
	if err := next.save(t.opts.Dir); err != nil {
		return err
	}
	t.rec = &next
	return nil
}

// GiveBack undoes Take. The TAP's queues have been closed.
func (t *Takeover) GiveBack() error { return Restore(t.opts) }
