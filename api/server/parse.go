package server

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/hdr"
)

// address reads an address of either family.
func address(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Is4In6() || a.Zone() != "" {
		return a, invalid("%q is not an address, such as 10.0.0.1 or 2001:db8::1", text)
	}
	return a, nil
}

// scopedAddress is address, and takes a zone as well: fe80::1%eth0.
func scopedAddress(text string) (netip.Addr, error) {
	bare, zone, scoped := strings.Cut(text, "%")
	a, err := address(bare)
	if err == nil && scoped {
		if a = a.WithZone(zone); a.Zone() == "" {
			return a, invalid("%q is not an address with a zone, such as fe80::1%%eth0", text)
		}
	}
	return a, err
}

// wants reports whether an address is of the family that a request is about.
func wants(f pb.Family, a netip.Addr) bool {
	switch f {
	case pb.Family_FAMILY_IP4:
		return a.Is4()
	case pb.Family_FAMILY_IP6:
		return a.Is6()
	}
	return true
}

// prefix reads a prefix without host bits.
func prefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, invalid("%q is not a prefix, such as 10.244.0.0/16 or 2001:db8::/64", text)
	case p != p.Masked():
		return p, invalid("%s has bits beyond its length: %s was meant, or another length", p, p.Masked())
	}
	return p, nil
}

func linkAddress(text string) (m hdr.MAC, err error) {
	a, err := net.ParseMAC(text)
	if err != nil || len(a) != len(m) {
		return m, invalid("%q is not a link address, such as 02:fe:00:00:00:01", text)
	}
	copy(m[:], a)
	return m, nil
}

func macText(m hdr.MAC) string { return net.HardwareAddr(m[:]).String() }

// within reads a duration and checks its bounds; absent is the default.
func within(what string, d *durationpb.Duration, absent, least, most time.Duration) (time.Duration, error) {
	if d == nil {
		return absent, nil
	}
	if err := d.CheckValid(); err != nil {
		return 0, invalid("%s: not a duration", what)
	}
	if v := d.AsDuration(); v < least || v > most {
		return 0, invalid("%s of %v: from %v to %v are possible", what, v, least, most)
	}
	return d.AsDuration(), nil
}
