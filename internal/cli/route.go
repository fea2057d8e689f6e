package cli

import (
	"fmt"
	"net/netip"
	"slices"

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
//	[TYPE] PREFIX [metric N] [via ADDRESS] [dev NAME] [weight N]
//	[TYPE] PREFIX [metric N] nexthop [via ADDRESS] [dev NAME] [weight N] [nexthop ...]...
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
			via = netip.MustParseAddr(h.Via) // parseHop has written it
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

// parseHops reads what follows the prefix: one next hop, or several that each
// begin with nexthop, and the metric among the first words.
func parseHops(args []string, metric *uint32) ([]*skeinpb.NextHop, error) {
	at := slices.Index(args, "nexthop")
	if at < 0 {
		hop, err := parseHop(args, metric)
		if err != nil || hop == nil {
			return nil, err
		}
		return []*skeinpb.NextHop{hop}, nil
	}
	if hop, err := parseHop(args[:at], metric); err != nil {
		return nil, err
	} else if hop != nil {
		return nil, fmt.Errorf("a next hop stands before the first nexthop")
	}
	var hops []*skeinpb.NextHop
	for args = args[at:]; len(args) > 0; {
		end := len(args)
		if next := slices.Index(args[1:], "nexthop"); next >= 0 {
			end = 1 + next
		}
		hop, err := parseHop(args[1:end], nil)
		if err != nil {
			return nil, err
		}
		if hop == nil {
			return nil, fmt.Errorf("nexthop: via or dev missing")
		}
		hops, args = append(hops, hop), args[end:]
	}
	return hops, nil
}

// parseHop reads one next hop, nil if the words name none. A metric belongs to
// the whole route and may stand there if metric is not nil.
func parseHop(args []string, metric *uint32) (*skeinpb.NextHop, error) {
	hop := &skeinpb.NextHop{}
	known := []pair{
		{word: "via", set: func(s string) error {
			a, err := parseAddr(s)
			hop.Via = a.String()
			return err
		}},
		{word: "dev", set: text(&hop.Interface)},
		{word: "weight", set: number(&hop.Weight, 1)},
	}
	if metric != nil {
		known = append(known, pair{word: "metric", set: number(metric, 0)})
	}
	if err := pairs(args, known...); err != nil {
		return nil, err
	}
	switch {
	case hop.Via != "" || hop.Interface != "":
		return hop, nil
	case hop.Weight > 0:
		return nil, fmt.Errorf("weight: via or dev missing")
	}
	return nil, nil
}

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
