package tuntap

import (
	"bytes"
	"fmt"
	"net"
	"time"
)

// prepare sets what Config asks for, and learns the rest.
func (d *Device) prepare(c Config) error {
	l, err := openLink(d.name)
	if err != nil {
		return err
	}
	defer l.Close()
	if c.MTU > 0 {
		if err := l.SetMTU(c.MTU); err != nil {
			return err
		}
	}
	if c.NoQueue {
		if err := l.SetNoQueue(); err != nil {
			return err
		}
	}
	if c.TxQueueLen > 0 {
		if err := l.SetTxQueueLen(c.TxQueueLen); err != nil {
			return err
		}
	}
	if c.MAC != nil {
		if err := l.insist(c.Name, c.MAC, time.Sleep); err != nil {
			return err
		}
	}
	attrs, err := l.attrs()
	if err != nil {
		return err
	}
	d.index, d.info.MTU = attrs.Index, attrs.MTU
	if c.Mode == TAP {
		d.info.MAC = attrs.HardwareAddr
	}
	for _, q := range d.queues {
		q.direct = !c.Offload && attrs.MTU+etherLen < smallRoom
	}
	return nil
}

// settle is how long udev gets to change a fresh TAP.
const settle = 20 * time.Millisecond

// insist sets name and MAC, and sets them again if they do not stay: udev may
// rename a fresh interface or give it a MAC of its own (systemd.link(5),
// MACAddressPolicy=).
func (l *Link) insist(name string, mac net.HardwareAddr, sleep func(time.Duration)) error {
	for range 5 {
		a, err := l.attrs()
		if err != nil {
			return err
		}
		if a.Name != name {
			if err := l.rename(name); err != nil {
				return err
			}
		}
		if !bytes.Equal(a.HardwareAddr, mac) {
			if err := l.SetMAC(mac); err != nil {
				return err
			}
		}
		sleep(settle)
		if a, err = l.attrs(); err != nil {
			return err
		}
		if a.Name == name && bytes.Equal(a.HardwareAddr, mac) {
			return nil
		}
	}
	return fmt.Errorf("somebody keeps changing name or MAC: tell udev to leave %s alone", name)
}
