package server

import (
	"context"
	"net"
	"net/netip"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
)

func (s *service) GetDHCPRelay(context.Context, *pb.GetDHCPRelayRequest) (*pb.GetDHCPRelayResponse, error) {
	st, ok := s.control.DHCPRelay()
	if !ok {
		return &pb.GetDHCPRelayResponse{}, nil
	}
	m := &pb.GetDHCPRelayResponse{Server: st.Server.String(), Subnet: known(st.Subnet), Address: known(st.Addr), Stray: st.Stray}
	for _, l := range st.Links {
		m.Links = append(m.Links, &pb.DHCPRelayLink{Interface: l.Name, Mac: net.HardwareAddr(l.MAC[:]).String(), Asked: l.Asked,
			Answered: l.Answered, Limited: l.Limited, Refused: l.Refused, Unsent: l.Unsent, Why: l.Why})
	}
	return m, nil
}

// known writes an address, or nothing for the zero Addr.
func known(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
