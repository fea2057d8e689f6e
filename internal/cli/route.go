package cli

import (
	"fmt"
	"net/netip"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

var routeTypes = map[string]skeinpb.RouteType{
	"unicast":     skeinpb.RouteType_ROUTE_TYPE_UNICAST,
	"local":       skeinpb.RouteType_ROUTE_TYPE_LOCAL,
	"punt":        skeinpb.RouteType_ROUTE_TYPE_PUNT,
	"blackhole":   skeinpb.RouteType_ROUTE_TYPE_BLACKHOLE,
	"unreachable": skeinpb.RouteType_ROUTE_TYPE_UNREACHABLE,
	"prohibit":    skeinpb.RouteType_ROUTE_TYPE_PROHIBIT,
}

// parseRoute reads a route as `ip route add` takes it (ip-route(8)):
//
//	[TYPE] PREFIX [via ADDRESS] [dev NAME] [weight N] [metric N]
//	              [nexthop [via ADDRESS] [dev NAME] [weight N]]...
//
// Other words of ip-route are refused: nothing is left out in silence. Without
// a TYPE, the route's is unspecified.
func parseRoute(args []string) (*skeinpb.Route, error) {
	r := &skeinpb.Route{}
	if len(args) > 0 {
		if t, ok := routeTypes[args[0]]; ok {
			r.Type, args = t, args[1:]
		}
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("a prefix is missing")
	}
	hops, err := parseHops(args[1:], &r.Metric)
	if err != nil {
		return nil, err
	}
	via := netip.Addr{}
	for _, h := range hops {
		if h.Via != "" && !via.IsValid() {
			via = netip.MustParseAddr(h.Via) // parseHops has written it
		}
	}
	p, err := parsePrefix(args[0], via)
	if err != nil {
		return nil, err
	}
	for _, h := range hops {
		if h.Via != "" && netip.MustParseAddr(h.Via).Is4() != p.Addr().Is4() {
			return nil, fmt.Errorf("via %s is not of the family of %s", h.Via, p)
		}
	}
	r.Prefix, r.NextHops = p.String(), hops
	return r, nil
}

// parseHops reads what follows the prefix. The words before the first nexthop
// are a next hop of their own, if there are any.
func parseHops(args []string, metric *uint32) (hops []*skeinpb.NextHop, err error) {
	hop := &skeinpb.NextHop{}
	fresh := true // hop is not in hops yet
	add := func() {
		if fresh {
			hops = append(hops, hop)
		}
		fresh = false
	}
	for i := 0; i < len(args); i++ {
		word := args[i]
		if word == "nexthop" {
			if n := len(hops); n > 0 && hopEmpty(hops[n-1]) {
				return nil, fmt.Errorf("nexthop: via or dev missing")
			}
			hop, fresh = &skeinpb.NextHop{}, true
			add()
			continue
		}
		if i++; i == len(args) {
			return nil, fmt.Errorf("%s: value missing", word)
		}
		switch value := args[i]; word {
		case "via":
			var a netip.Addr
			a, err = parseAddr(value)
			hop.Via = a.String()
			add()
		case "dev":
			hop.Interface = value
			add()
		case "weight":
			err = number(&hop.Weight, 1)(value)
			add()
		case "metric":
			err = number(metric, 0)(value)
		default:
			return nil, fmt.Errorf("unknown word %q", word)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	if n := len(hops); n > 0 && hopEmpty(hops[n-1]) {
		return nil, fmt.Errorf("nexthop: via or dev missing")
	}
	return hops, nil
}

func hopEmpty(h *skeinpb.NextHop) bool { return h.Via == "" && h.Interface == "" }

// addable says whether r says enough to be added, and makes it unicast where
// it names no type.
func addable(r *skeinpb.Route) error {
	if r.Type == skeinpb.RouteType_ROUTE_TYPE_UNSPECIFIED {
		r.Type = skeinpb.RouteType_ROUTE_TYPE_UNICAST
	}
	switch r.Type {
	case skeinpb.RouteType_ROUTE_TYPE_UNICAST:
		if len(r.NextHops) == 0 {
			return fmt.Errorf("%s: via or dev missing", r.Prefix)
		}
	case skeinpb.RouteType_ROUTE_TYPE_LOCAL, skeinpb.RouteType_ROUTE_TYPE_PUNT:
	default:
		if len(r.NextHops) > 0 {
			return fmt.Errorf("%s: a %s route has no next hop", r.Prefix, enum(r.Type, "ROUTE_TYPE_"))
		}
	}
	return nil
}
