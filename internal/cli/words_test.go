package cli

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"", ""},
		{"  show \t interface\r\n", "show|interface"},
		{`create tun "a b" 'c"d'`, `create|tun|a b|c"d`},
		{`a""b '' c`, "ab||c"},
		{"show # all", "show"},
		{"# all", ""},
		{"a#b", "a#b"},
	} {
		got, err := split(tc.line)
		if err != nil || strings.Join(got, "|") != tc.want {
			t.Errorf("split(%q) = %q, %v; want %s", tc.line, got, err, tc.want)
		}
	}
	if _, err := split(`show "int`); err == nil || exitStatus(err) != 2 {
		t.Errorf("open quote: %v", err)
	}
}

func TestExpand(t *testing.T) {
	root := new(session).newRoot(nil)
	for _, tc := range []struct{ line, want string }{
		{"sh int", "show interface"},
		{"sh interfaces", "show interface"},
		{"sh hard", "show hardware-interfaces"},
		{"sh run", "show runtime"},
		{"sh -o json ver", "show -o json version"},
		{"-o json sh ver", "-o json show version"},
		{"--socket sh sh ver", "--socket sh show version"},
		{"--socket=sh sh ver", "--socket=sh show version"},
		{"-ojson sh ver", "-ojson show version"},
		{"sh gr --dot", "show graph --dot"},
		{"sh int ad tun3", "show interface addr tun3"},
		{"sh int tun3", "show interface tun3"},
		{"sh node ip4-in", "show node ip4-in"},
		{"ip r add default dev a", "ip route add default dev a"},
		{"ip r a default dev a", "ip route add default dev a"},
		{"cl int", "clear interfaces"},
	} {
		got, err := expand(root, strings.Fields(tc.line))
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("expand(%s) = %q, %v; want %s", tc.line, got, err, tc.want)
		}
	}
}

// FuzzSplit checks that words that were quoted come back as they were.
func FuzzSplit(f *testing.F) {
	f.Add(`create tun "a b" netns 'x'`)
	f.Add("show # comment")
	f.Add("'")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			return
		}
		quoted := ""
		for _, w := range words {
			quoted += "'" + strings.ReplaceAll(w, "'", `'"'"'`) + "' "
		}
		again, err := split(quoted)
		if err != nil || !slices.Equal(words, again) {
			t.Errorf("%q: %q, then %q, %v", line, words, again, err)
		}
	})
}

// FuzzExpand checks that what is written out stays so, and that neither
// completion nor help trips over any line.
func FuzzExpand(f *testing.F) {
	f.Add("sh int ad tun3")
	f.Add("-o json sh -- ver")
	f.Add("ip route add 10/8 via")
	f.Add("help __complete")
	f.Fuzz(func(t *testing.T, line string) {
		s := &session{opts: options{socket: "/nonexistent/api.sock", timeout: completeWait}}
		s.complete(line, len(line))
		s.help(line)
		words, err := split(line)
		if err != nil {
			return
		}
		root := s.newRoot(nil)
		once, err := expand(root, words)
		if err != nil {
			return
		}
		twice, err := expand(root, once)
		if err != nil || !slices.Equal(once, twice) {
			t.Errorf("%q: %q, then %q, %v", line, once, twice, err)
		}
	})
}

// FuzzRouteLine checks that what is read is canonical, and can be read again.
func FuzzRouteLine(f *testing.F) {
	f.Add("10.0.0.0/8 via 10.1.1.1 dev a metric 5")
	f.Add("default nexthop via 2001:db8::1 weight 2 nexthop dev b")
	f.Add("blackhole 10.0.0.0/8")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRoute(strings.Fields(line))
		if err != nil {
			return
		}
		p := netip.MustParsePrefix(r.Prefix)
		if p != p.Masked() || p.String() != r.Prefix {
			t.Errorf("%q: prefix %s", line, r.Prefix)
		}
		again := r.Prefix
		for _, h := range r.NextHops {
			if h.Via == "" && h.Interface == "" {
				t.Errorf("%q: a next hop to nowhere", line)
			}
			again += " nexthop " + nextHop(h)
		}
		if r2, err := parseRoute(strings.Fields(again)); err != nil || len(r2.NextHops) != len(r.NextHops) {
			t.Errorf("%q, written %q: %v, %v", line, again, r2, err)
		}
	})
}
