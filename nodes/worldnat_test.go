package nodes_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/state"
)

// A natWorld is the NAT of a world. Its lines begin with "nat", and the first
// switches it on:
//
//	nat own 192.0.2.10 2001:db8::10               where NodePorts and hostPorts are
//	nat pool 10.1.0.0/16                          a pool with natOutgoing
//	nat pool 10.2.0.0/16 off                      one without
//	nat exclude 10.96.0.0/12                      destinations that see pods' own addresses
//	nat static 192.0.2.99 10.1.0.7                an address for good
//	nat static tcp 192.0.2.10:8080 10.1.0.7:80    a port
//	nat service default/web ClusterIP tcp 10.96.0.10:80 to 10.1.0.7:8080,local 10.1.0.8:8080
//	nat service default/web NodePort tcp 0.0.0.0:30080 external-local to ...
//	no nat service default/web ClusterIP tcp 10.96.0.10:80
//	nat peers 192.0.2.20 2001:db8::20             all other nodes
//	no nat                                        none at all
//
// Before "to" there may be external-local, internal-local, maglev, dsr,
// affinity=SECONDS and source=PREFIX; behind a backend's address ",local", or
// "@" and its node's address.
type natWorld struct {
	on       bool
	services *nat.Services
	pools    []nat.Pool
	exclude  []netip.Prefix
	statics  []nat.Static
	peers    []hdr.Addr6
	ids      map[string]uint32
	kinds    map[string]nat.Kind
}

func newNATWorld() natWorld {
	n := natWorld{services: new(nat.Services), ids: map[string]uint32{}, kinds: map[string]nat.Kind{}}
	for k := nat.ClusterIP; k < nat.NumKinds; k++ {
		n.kinds[k.String()] = k
	}
	return n
}

// nat reads a line behind the word "nat".
func (w *world) nat(words []string, no bool) error {
	n := &w.translations
	n.on, w.rules.on, w.rules.changed = true, true, true
	switch {
	case len(words) == 0:
		n.on = !no
		return nil
	case len(words) < 2:
		return fmt.Errorf("nothing after %q", words[0])
	}
	switch rest := words[1:]; words[0] {
	case "own":
		e := n.services.Edit()
		var own []hdr.Addr6
		for _, s := range rest {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return err
			}
			own = append(own, hdr.Addr6From(a))
		}
		e.Own(own)
		n.services = e.Done()
	case "pool", "exclude":
		p, err := netip.ParsePrefix(rest[0])
		if err != nil {
			return err
		}
		if words[0] == "exclude" {
			n.exclude = append(n.exclude, p)
			return nil
		}
		n.pools = slices.DeleteFunc(n.pools, func(q nat.Pool) bool { return q.Prefix == p })
		if !no {
			n.pools = append(n.pools, nat.Pool{Prefix: p, NatOutgoing: len(rest) == 1})
		}
	case "peers":
		n.peers = nil
		for _, s := range rest {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return err
			}
			n.peers = append(n.peers, hdr.Addr6From(a))
		}
	case "static":
		return n.static(rest)
	case "service":
		return n.service(rest, no)
	default:
		return fmt.Errorf("no %q in nat", words[0])
	}
	return nil
}

var protoWords = map[string]uint8{"tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "sctp": hdr.ProtoSCTP}

func (n *natWorld) static(words []string) error {
	s := nat.Static{Proto: protoWords[words[0]]}
	if s.Proto == 0 {
		a, err := netip.ParseAddr(words[0])
		if err != nil {
			return err
		}
		b, err := netip.ParseAddr(words[1])
		s.External, s.Inside = hdr.Addr6From(a), hdr.Addr6From(b)
		n.statics = append(n.statics, s)
		return err
	}
	a, err := netip.ParseAddrPort(words[1])
	if err != nil {
		return err
	}
	b, err := netip.ParseAddrPort(words[2])
	s.External, s.ExternalPort = hdr.Addr6From(a.Addr()), a.Port()
	s.Inside, s.InsidePort = hdr.Addr6From(b.Addr()), b.Port()
	n.statics = append(n.statics, s)
	return err
}

func (n *natWorld) service(words []string, no bool) error {
	at, err := netip.ParseAddrPort(words[3])
	if err != nil {
		return err
	}
	key := nat.FrontKey{Addr: hdr.Addr6From(at.Addr()), Port: at.Port(), Proto: protoWords[words[2]]}
	e := n.services.Edit()
	defer func() { n.services = e.Done() }()
	if no {
		e.Delete(key)
		return nil
	}
	if n.ids[words[0]] == 0 {
		n.ids[words[0]] = uint32(len(n.ids) + 1)
	}
	spec := nat.Spec{ID: n.ids[words[0]], Name: words[0]}
	for words := words[4:]; len(words) > 0; words = words[1:] {
		if words[0] == "to" {
			err = backendWords(&spec, words[1:])
			break
		}
		if err = optionWord(&spec, words[0]); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	s, err := nat.NewService(spec)
	if err != nil {
		return err
	}
	return e.Set(&nat.Front{Key: key, Kind: n.kinds[words[1]], Service: s})
}

func optionWord(spec *nat.Spec, word string) error {
	name, value, _ := strings.Cut(word, "=")
	switch name {
	case "external-local":
		spec.ExternalLocal = true
	case "internal-local":
		spec.InternalLocal = true
	case "dsr":
		spec.DSR = true
	case "maglev":
		spec.Maglev = true
	case "affinity":
		n, err := strconv.Atoi(value)
		spec.Affinity = uint32(n)
		return err
	case "source":
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return err
		}
		spec.Sources = append(spec.Sources, nat.RangeOf(p))
	default:
		return fmt.Errorf("no option %q", word)
	}
	return nil
}

func backendWords(spec *nat.Spec, words []string) error {
	for _, s := range words {
		s, local := strings.CutSuffix(s, ",local")
		s, node, remote := strings.Cut(s, "@")
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			return err
		}
		b := nat.Backend{Addr: hdr.Addr6From(a.Addr()), Port: a.Port(), Local: local}
		if remote {
			at, err := netip.ParseAddr(node)
			if err != nil {
				return err
			}
			b.Node = hdr.Addr6From(at)
		}
		spec.All = append(spec.All, b)
		if local {
			spec.Local = append(spec.Local, b)
		}
	}
	return nil
}

func (n *natWorld) publish(st *state.State) error {
	if !n.on {
		st.NAT = nil
		return nil
	}
	statics, err := nat.NewStatics(n.statics)
	if err != nil {
		return err
	}
	out, err := nat.NewOutgoing(n.pools, n.exclude)
	st.NAT = &state.NAT{Services: n.services, Statics: statics, Outgoing: out}
	if len(n.peers) > 0 {
		st.NAT.Peers = nat.NewPeers(n.peers)
	}
	return err
}
