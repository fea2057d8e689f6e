package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"google.golang.org/grpc"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
)

// partRoutes is how many routes one message of an answer holds: some 100 KiB,
// far below what a client takes.
const partRoutes = 500

// ListRoutes copies the table before it sends any of it: the writer must not
// wait for a client.
func (s *service) ListRoutes(r *pb.ListRoutesRequest, out grpc.ServerStreamingServer[pb.ListRoutesResponse]) error {
	ctx, cancel := deadline(out.Context())
	defer cancel()
	all, err := s.routes(ctx, r)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(all, partRoutes) {
		m := &pb.ListRoutesResponse{}
		for i := range part {
			m.Routes = append(m.Routes, routeMessage(&part[i]))
		}
		if err := out.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) routes(ctx context.Context, r *pb.ListRoutesRequest) (all []control.RouteView, err error) {
	switch f := r.Filter.(type) {
	case *pb.ListRoutesRequest_Prefix:
		p, err := prefix(f.Prefix)
		if err != nil {
			return nil, err
		}
		return s.control.RoutesTo(p), nil
	case *pb.ListRoutesRequest_Address:
		a, err := address(f.Address)
		if err != nil {
			return nil, err
		}
		v, err := s.control.Lookup(a)
		if errors.Is(err, control.ErrNotFound) {
			return nil, nil // no route is an answer
		}
		return []control.RouteView{v}, err
	}
	s.control.Routes(func(v control.RouteView) bool {
		if wants(r.Family, v.Route.Prefix.Addr()) {
			all = append(all, v)
		}
		return ctx.Err() == nil
	})
	return all, ctx.Err()
}

func (s *service) AddRoute(ctx context.Context, r *pb.AddRouteRequest) (*pb.AddRouteResponse, error) {
	if r.Route == nil {
		return nil, invalid("the route is missing")
	}
	p, err := prefix(r.Route.Prefix)
	if err != nil {
		return nil, err
	}
	typ, err := routeType(r.Route.Type)
	if err != nil {
		return nil, err
	}
	if typ == fib.TypePunt {
		if err := s.checkPunt(ctx, r.Route); err != nil {
			return nil, err
		}
	}
	err = s.control.AddRoute(r.Replace, func(index func(string) (uint32, bool)) (fib.Route, error) {
		hops, err := nextHops(r.Route.NextHops, index)
		return fib.Route{Prefix: p, Type: typ, Metric: r.Route.Metric, NextHops: hops}, err
	})
	if err != nil {
		return nil, err
	}
	return &pb.AddRouteResponse{}, nil
}

// checkPunt refuses to hand the host packets by an interface that the host is
// not behind.
func (s *service) checkPunt(ctx context.Context, r *pb.Route) error {
	if len(r.NextHops) != 1 || r.NextHops[0].GetInterface() == "" {
		return invalid("a punt route names the tap that the host is behind, and nothing else")
	}
	all, err := s.control.Interfaces(ctx, r.NextHops[0].Interface)
	if err != nil {
		return err
	}
	if all[0].Kind != iface.Tap {
		return invalid("%s is not a tap: the host is not behind it", all[0].Name)
	}
	return nil
}

func (s *service) DeleteRoute(_ context.Context, r *pb.DeleteRouteRequest) (*pb.DeleteRouteResponse, error) {
	if r.Route == nil {
		return nil, invalid("the route is missing")
	}
	p, err := prefix(r.Route.Prefix)
	if err != nil {
		return nil, err
	}
	if r.Route.Type != pb.RouteType_ROUTE_TYPE_UNSPECIFIED {
		if _, err := routeType(r.Route.Type); err != nil {
			return nil, err
		}
	}
	for _, h := range r.Route.NextHops {
		if h.GetInterface() != "" {
			if err := s.exists(h.Interface); err != nil {
				return nil, err
			}
		}
	}
	err = s.control.DelRoute(p, func(has fib.Route, name func(uint32) string) bool { return fits(r.Route, has, name) })
	if err != nil {
		return nil, err
	}
	return &pb.DeleteRouteResponse{}, nil
}

// fits reports whether a route is one that was described, as far as it was.
func fits(want *pb.Route, has fib.Route, name func(uint32) string) bool {
	if want.Metric != 0 && want.Metric != has.Metric {
		return false
	}
	if want.Type != pb.RouteType_ROUTE_TYPE_UNSPECIFIED && want.Type != routeTypes[has.Type] {
		return false
	}
	if len(want.NextHops) == 0 {
		return true
	}
	if len(want.NextHops) != len(has.NextHops) {
		return false
	}
	for _, w := range want.NextHops {
		if !slices.ContainsFunc(has.NextHops, func(h fib.NextHop) bool { return fitsHop(w, h, name) }) {
			return false
		}
	}
	return true
}

func fitsHop(want *pb.NextHop, has fib.NextHop, name func(uint32) string) bool {
	via, err := netip.ParseAddr(want.GetVia())
	return (want.GetVia() == "" || err == nil && via == has.Via) &&
		(want.GetInterface() == "" || want.GetInterface() == name(has.Iface)) &&
		(want.GetWeight() == 0 || want.GetWeight() == uint32(max(1, has.Weight)))
}

// nextHops reads next hops with the names of interfaces.
func nextHops(all []*pb.NextHop, index func(string) (uint32, bool)) (out []fib.NextHop, err error) {
	for _, h := range all {
		var hop fib.NextHop
		if name := h.GetInterface(); name != "" {
			var ok bool
			if hop.Iface, ok = index(name); !ok {
				return nil, fmt.Errorf("interface %q: %w", name, control.ErrNotFound)
			}
		}
		if h.GetVia() != "" {
			if hop.Via, err = netip.ParseAddr(h.Via); err != nil {
				return nil, fmt.Errorf("%q is not an address, such as 10.0.0.1", h.Via)
			}
		}
		if h.GetWeight() > math.MaxUint8 {
			return nil, fmt.Errorf("a weight of %d: from 1 to %d are possible", h.Weight, math.MaxUint8)
		}
		hop.Weight = uint8(h.GetWeight())
		out = append(out, hop)
	}
	return out, nil
}

var routeTypes = map[fib.Type]pb.RouteType{
	fib.TypeUnicast:     pb.RouteType_ROUTE_TYPE_UNICAST,
	fib.TypeLocal:       pb.RouteType_ROUTE_TYPE_LOCAL,
	fib.TypePunt:        pb.RouteType_ROUTE_TYPE_PUNT,
	fib.TypeBlackhole:   pb.RouteType_ROUTE_TYPE_BLACKHOLE,
	fib.TypeUnreachable: pb.RouteType_ROUTE_TYPE_UNREACHABLE,
	fib.TypeProhibit:    pb.RouteType_ROUTE_TYPE_PROHIBIT,
}

func routeType(wanted pb.RouteType) (fib.Type, error) {
	for t, m := range routeTypes {
		if m == wanted {
			return t, nil
		}
	}
	return 0, invalid("a type is missing, or not one that there is: %d", wanted)
}

func routeMessage(v *control.RouteView) *pb.Route {
	m := &pb.Route{Prefix: v.Route.Prefix.String(), Type: routeTypes[v.Route.Type], Metric: v.Route.Metric,
		Source: v.Route.Source.String(), Best: v.Best}
	for i, h := range v.Route.NextHops {
		hop := &pb.NextHop{Interface: v.Devs[i], Weight: uint32(max(1, h.Weight))}
		if h.Via.IsValid() {
			hop.Via = h.Via.String()
		}
		m.NextHops = append(m.NextHops, hop)
	}
	if v.Best {
		for i := range v.Adjs {
			m.Adjacencies = append(m.Adjacencies, adjacency(&v.Adjs[i]))
		}
	}
	return m
}

func adjacency(a *control.Adjacency) *pb.Adjacency {
	m := &pb.Adjacency{Kind: a.Kind.String(), Interface: a.Interface, Mtu: a.MTU, Rewrite: a.Rewrite[:a.RewriteLen], Description: a.Description}
	if !a.Via.IsUnspecified() {
		m.Via = a.Via.String()
	}
	return m
}
