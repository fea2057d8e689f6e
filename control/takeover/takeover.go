package takeover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/skein-dataplane/skein/tuntap"
)

// A Takeover is an uplink that Skein stands before.
type Takeover struct {
	Host  *Snapshot // what the host had on it
	NetNS string    // file of the namespace that the uplink is in
	Tap   *tuntap.Device
	dir   string
}

// Take puts a TAP in the place of an uplink of the calling thread's namespace.
// dir keeps what Restore needs. If it fails, everything is as before, or the
// error says what is not.
//
// The uplink is up in its namespace when Take returns, and the TAP has the
// host's addresses and routes; until its queues are served, packets wait.
func Take(dir, uplink string, queues int) (t *Takeover, err error) {
	host, err := Read(uplink)
	if err != nil {
		return nil, err
	}
	rec := record{Version: recordVersion, Host: *host, NetNS: filepath.Join(dir, "netns", uplink)}
	if err := rec.save(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Restore(dir, uplink))
		}
	}()
	t = &Takeover{Host: host, NetNS: rec.NetNS, dir: dir}
	if err := makeNetNS(t.NetNS); err != nil {
		return nil, err
	}
	if err := t.makeTap(queues); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			closeTap(t.Tap)
		}
	}()
	if err := t.moveAway(); err != nil {
		return nil, err
	}
	return t, t.present()
}

// makeTap makes the TAP under a name of its own, as the uplink's is taken.
func (t *Takeover) makeTap(queues int) (err error) {
	mac, err := net.ParseMAC(t.Host.MAC)
	if err != nil {
		return fmt.Errorf("takeover: MAC of %s: %w", t.Host.Name, err)
	}
	t.Tap, err = tuntap.Create(tuntap.Config{Name: tempName, Mode: tuntap.TAP, Queues: queues, Offload: true,
		MTU: t.Host.MTU, MAC: mac})
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	return nil
}

// tempName is the TAP's while the uplink still has its own.
const tempName = "skein-new"

// moveAway moves the uplink into its namespace and sets it up there.
func (t *Takeover) moveAway() error {
	link, err := netlink.LinkByName(t.Host.Name)
	if err != nil {
		return fmt.Errorf("takeover: find %s: %w", t.Host.Name, err)
	}
	ns, err := netns.GetFromPath(t.NetNS)
	if err != nil {
		return fmt.Errorf("takeover: open %s: %w", t.NetNS, err)
	}
	defer ns.Close()
	if err := netlink.LinkSetNsFd(link, int(ns)); err != nil {
		return fmt.Errorf("takeover: move %s away: %w", t.Host.Name, err)
	}
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	defer h.Close()
	if link, err = h.LinkByName(t.Host.Name); err != nil {
		return fmt.Errorf("takeover: find %s after the move: %w", t.Host.Name, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("takeover: set %s up: %w", t.Host.Name, err)
	}
	return nil
}

// present gives the TAP the uplink's name and configuration.
func (t *Takeover) present() error {
	link, err := netlink.LinkByName(tempName)
	if err != nil {
		return fmt.Errorf("takeover: find the TAP: %w", err)
	}
	if err := netlink.LinkSetName(link, t.Host.Name); err != nil {
		return fmt.Errorf("takeover: name the TAP %s: %w", t.Host.Name, err)
	}
	// The queue of a TAP is not in front of a device's own but all there is:
	// with a veth's 0 it would drop every packet.
	asHost := *t.Host
	asHost.TxQueueLen = tapQueue
	return asHost.apply(here)
}

// tapQueue is how many packets the kernel holds for a TAP until Skein reads
// them: about a millisecond of small ones.
const tapQueue = 1000

// here is netlink in the calling thread's namespace.
var here = &netlink.Handle{}

// closeTap removes a TAP that no worker has got.
func closeTap(tap *tuntap.Device) {
	if tap != nil {
		_ = tap.Delete() // with its last queue it would go as well
	}
}

// GiveBack undoes Take. The TAP's queues have been closed.
func (t *Takeover) GiveBack() error { return Restore(t.dir, t.Host.Name) }

// Restore gives an uplink back to the host from what dir holds. It may be
// called at any time, again and again: if there is nothing to give back it
// does nothing.
func Restore(dir, uplink string) error {
	rec, err := load(dir, uplink)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if isNetNS(rec.NetNS) {
		if err := moveBack(rec); err != nil {
			return err
		}
	}
	if err := rec.Host.apply(here); err != nil {
		return err
	}
	if err := dropNetNS(rec.NetNS); err != nil {
		return err
	}
	return rec.remove(dir)
}

// moveBack moves the uplink out of its namespace, if it is still there, to
// where its TAP was.
func moveBack(rec record) error {
	h, err := handleAt(rec.NetNS)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(rec.Host.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("takeover: find %s: %w", rec.Host.Name, err)
	}
	for _, name := range []string{tempName, rec.Host.Name} {
		if err := removeTap(name); err != nil {
			return err
		}
	}
	host, err := netns.Get()
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	defer host.Close()
	if err := h.LinkSetNsFd(link, int(host)); err != nil {
		return fmt.Errorf("takeover: move %s back: %w", rec.Host.Name, err)
	}
	return nil
}

func handleAt(path string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("takeover: open %s: %w", path, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	return h, nil
}

// removeTap removes a TAP of ours that is left, and nothing else.
func removeTap(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil || link.Type() != "tuntap" {
		return nil // gone, or not ours: the move will say so
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("takeover: remove the TAP %s: %w", name, err)
	}
	return nil
}
