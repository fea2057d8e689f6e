package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/hdr"
)

// What is known of neighbours goes to a successor, so that the first packets
// after a replacement need not wait for ARP or neighbour discovery.

func neighborsPath(runDir string) string { return filepath.Join(runDir, "neighbors.json") }

// leaveNeighbors writes down the neighbours that were learnt. The file is for
// a successor that reads it within a second, and so need not be on a disk.
func (c *Control) leaveNeighbors() error {
	all := []store.Neighbor{}
	for _, n := range c.Neighbors() {
		if !n.Static && (n.State == Reachable || n.State == Stale) {
			all = append(all, store.Neighbor{Interface: n.Interface, IP: n.IP, MAC: macText(n.MAC)})
		}
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(neighborsPath(c.cfg.RunDir), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("control: neighbours for a successor: %w", err)
	}
	return nil
}

// inheritNeighbors takes over what a predecessor has left, and removes it. They
// are asked within a second whether they are still there.
func (c *Control) inheritNeighbors() {
	path := neighborsPath(c.cfg.RunDir)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var all []store.Neighbor
	if err = errors.Join(err, os.Remove(path)); err == nil && c.inherit {
		err = json.Unmarshal(text, &all)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range all {
		err = errors.Join(err, c.inheritNeighbor(n))
	}
	if len(all) > 0 {
		err = errors.Join(err, c.publish())
	}
	if err != nil { // they are asked for
		c.log.Warn("neighbours of a predecessor", zap.Error(err))
	}
}

// inheritNeighbor takes one over. c.mu is held.
func (c *Control) inheritNeighbor(n store.Neighbor) error {
	mac, err := net.ParseMAC(n.MAC)
	if err != nil || len(mac) != len(hdr.MAC{}) {
		return fmt.Errorf("control: %q is no link address", n.MAC)
	}
	i, ok := c.index(n.Interface)
	if !ok || !c.ports[i].Ethernet {
		return nil // the configuration has changed
	}
	key := neighborKey{i, n.IP}
	if known := c.neighbors[key]; known != nil && !known.unresolved() || len(c.neighbors)-c.unresolved >= maxNeighbors {
		return nil // heard of since
	}
	if !c.heard(key, c.neighbors[key], hdr.MAC(mac)) {
		return nil
	}
	c.neighbors[key].state, c.neighbors[key].heard = Stale, time.Now().Add(-reachable)
	return nil
}
