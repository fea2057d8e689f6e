package resource

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

// protocols are those that Calico has names for, in lower case (NetworkPolicy v3,
// protocol). The numbers are IANA's.
var protocols = map[string]uint8{
	"icmp": hdr.ProtoICMP, "tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "icmpv6": hdr.ProtoICMPv6,
	"sctp": hdr.ProtoSCTP, "udplite": 136,
}

// withPorts are the protocols whose ports policies can name.
var withPorts = []uint8{hdr.ProtoTCP, hdr.ProtoUDP, hdr.ProtoSCTP}

// protocol reads a name or a number; "" is 0.
func (d *decoder) protocol(field string, text intOr) uint8 {
	if text == "" {
		return 0
	}
	if p := protocols[strings.ToLower(string(text))]; p != 0 {
		return p
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil || n == 0 {
		d.Fail(field, "expected TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or 1 to 255, found %q", string(text))
	}
	return uint8(n)
}

// kubeProtocol reads a protocol with ports as Kubernetes knows them.
func (d *decoder) kubeProtocol(field, text string) uint8 {
	if text == "" {
		return hdr.ProtoTCP
	}
	p := protocols[strings.ToLower(text)]
	if !slices.Contains(withPorts, p) {
		d.Fail(field, "expected TCP, UDP or SCTP, found %q", text)
	}
	return p
}

func (d *decoder) port(field string, n int) uint16 {
	if n < 1 || n > math.MaxUint16 {
		d.Fail(field, "expected a port from 1 to 65535, found %d", n)
	}
	return uint16(n)
}

// portName is what Calico takes for the name of a port.
var portName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// portSpec reads "80", "8000:8080" or a name.
func (d *decoder) portSpec(field, text string) (ports acl.PortRange, name string) {
	first, last, isRange := strings.Cut(text, ":")
	if !isRange {
		last = first
	}
	low, err1 := strconv.ParseUint(first, 10, 16)
	high, err2 := strconv.ParseUint(last, 10, 16)
	switch {
	case err1 == nil && err2 == nil && low > high:
		d.Fail(field, "expected a range of ports from low to high, found %q", text)
	case err1 == nil && err2 == nil:
		return acl.PortRange{First: uint16(low), Last: uint16(high)}, ""
	case !isRange && portName.MatchString(text) && strings.Trim(text, "0123456789") != "":
		return acl.PortRange{}, text
	default:
		d.Fail(field, "expected a port from 0 to 65535, a range such as 8000:8080 or the name of a port, found %q", text)
	}
	return acl.PortRange{}, ""
}

// prefix reads a prefix or a single address.
func (d *decoder) prefix(field, text string) netip.Prefix {
	p, err := netip.ParsePrefix(text)
	if a, err2 := netip.ParseAddr(text); err2 == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() {
		d.Fail(field, "expected a prefix such as 10.0.0.0/8 or 2001:db8::/32, found %q", text)
		return netip.Prefix{}
	}
	return p.Masked()
}

func (d *decoder) prefixes(field string, texts []string) (out []netip.Prefix) {
	for i, text := range texts {
		out = append(out, d.prefix(indexed(field, i), text))
	}
	return out
}

func (d *decoder) addr(field, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		d.Fail(field, "expected an address, found %q", text)
		return netip.Addr{}
	}
	return a.Unmap()
}

// icmp reads a type and a code.
func (d *decoder) icmp(field string, f *icmpFields) *acl.ICMP {
	if f == nil {
		return nil
	}
	i := &acl.ICMP{}
	if f.Type == nil || *f.Type < 0 || *f.Type > 254 {
		d.Fail(field+".type", "expected a type from 0 to 254")
		return i
	}
	i.Type = uint8(*f.Type)
	if f.Code != nil {
		if *f.Code < 0 || *f.Code > 255 {
			d.Fail(field+".code", "expected a code from 0 to 255, found %d", *f.Code)
		}
		i.Code, i.HasCode = uint8(*f.Code), true
	}
	return i
}

// types reads the directions of a policy. Which they are if it does not say,
// differs.
func (d *decoder) types(field string, texts []string, none Directions) (out Directions) {
	if len(texts) == 0 {
		return none
	}
	for i, text := range texts {
		switch strings.ToLower(text) {
		case "ingress":
			out.Ingress = true
		case "egress":
			out.Egress = true
		default:
			d.Fail(indexed(field, i), "expected Ingress or Egress, found %q", text)
		}
	}
	return out
}

func orderOf(order *float64) float64 {
	if order == nil {
		return math.Inf(1)
	}
	return *order
}

// order refuses what has no place in an order.
func (d *decoder) order(field string, order *float64) float64 {
	o := orderOf(order)
	if math.IsNaN(o) {
		d.Fail(field, "expected a number, found none")
	}
	return o
}
