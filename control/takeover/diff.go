package takeover

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Diff returns what a takeover would change for the host, line by line in the
// words of ip(8).
func (p *Plan) Diff(dir string) (lines []string) {
	if p.Host == nil {
		return nil
	}
	s := p.Host
	config := append(addrLines(s), routeLines(s)...)
	for _, l := range config {
		lines = append(lines, "- "+l)
	}
	lines = append(lines,
		fmt.Sprintf("- link %s mac %s mtu %d", s.Name, s.MAC, s.MTU),
		fmt.Sprintf("+ link %s netns %s", s.Name, netNSPath(dir, s.Name)),
		fmt.Sprintf("+ tap %s mac %s mtu %d", s.Name, s.MAC, s.MTU))
	for _, l := range config {
		lines = append(lines, "+ "+l)
	}
	return lines
}

func addrLines(s *Snapshot) (lines []string) {
	for _, a := range s.Addrs {
		words := []string{"addr", a.Prefix.String()}
		if a.Peer.IsValid() {
			words = []string{"addr", a.Prefix.Addr().String(), "peer", a.Peer.String()}
		}
		if a.Label != "" && a.Label != s.Name {
			words = append(words, "label", a.Label)
		}
		words = append(words, "dev", s.Name)
		if a.Metric != 0 {
			words = append(words, "metric", strconv.Itoa(a.Metric))
		}
		if a.Valid != 0 {
			words = append(words, "valid_lft", strconv.Itoa(a.Valid)+"sec", "preferred_lft", strconv.Itoa(a.Preferred)+"sec")
		}
		lines = append(lines, strings.Join(words, " "))
	}
	for _, n := range s.Neighbors {
		if n.Proxy {
			lines = append(lines, fmt.Sprintf("neigh proxy %s dev %s", n.IP, s.Name))
		} else {
			lines = append(lines, fmt.Sprintf("neigh %s lladdr %s dev %s nud permanent", n.IP, n.MAC, s.Name))
		}
	}
	return lines
}

func routeLines(s *Snapshot) (lines []string) {
	for _, r := range s.Routes {
		lines = append(lines, "route "+routeText(r)+" dev "+s.Name)
	}
	return lines
}

// routeText returns a route as ip route has it, without its interface.
func routeText(r Route) string {
	var words []string
	if r.Type != unix.RTN_UNICAST && r.Type != 0 {
		words = append(words, map[int]string{unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_MULTICAST: "multicast",
			unix.RTN_ANYCAST: "anycast"}[r.Type])
	}
	if r.Dst.Bits() == 0 {
		words = append(words, "default")
	} else {
		words = append(words, r.Dst.String())
	}
	if r.Via.IsValid() {
		words = append(words, "via", r.Via.String())
	}
	if r.Src.IsValid() {
		words = append(words, "src", r.Src.String())
	}
	for _, n := range []struct {
		word  string
		value int
	}{{"metric", r.Metric}, {"mtu", r.MTU}, {"advmss", r.AdvMSS}} {
		if n.value != 0 {
			words = append(words, n.word, strconv.Itoa(n.value))
		}
	}
	if r.Table != unix.RT_TABLE_MAIN && r.Table != 0 {
		words = append(words, "table", strconv.Itoa(r.Table))
	}
	if r.Flags&unix.RTNH_F_ONLINK != 0 {
		words = append(words, "onlink")
	}
	return strings.Join(words, " ")
}
