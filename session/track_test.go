package session_test

import (
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// flags reads tcpdump's letters: S SYN, . ACK, F FIN, R RST, P PSH.
func flags(text string) (f uint8) {
	for _, c := range text {
		f |= map[rune]uint8{'S': hdr.TCPSyn, '.': hdr.TCPAck, 'F': hdr.TCPFin, 'R': hdr.TCPRst, 'P': hdr.TCPPsh}[c]
	}
	return f
}

// TestTCP: packets as "> S" forward and "< S." in reverse, and the class after
// each. The first one opens the session.
func TestTCP(t *testing.T) {
	for _, test := range []struct {
		name, packets string
		want          string
	}{
		{"whole life", ">S <S. >. >P. <P. >F. <. <F. >.", "half-open half-open established established established half-closed half-closed closing closing"},
		{"the other end closes first", ">S <S. >. <F. >P. >F.", "half-open half-open established half-closed half-closed closing"},
		{"again and again", ">S >S >S <S. <S. >.", "half-open half-open half-open half-open half-open established"},
		{"both ends at once", ">S <S >S. <S.", "half-open half-open half-open established"},
		{"the third packet is lost", ">S <S. >P.", "half-open half-open established"},
		{"refused", ">S <R.", "half-open closing"},
		{"refused, and again", ">S <R. >S! <S. >.", "half-open closing half-open half-open established"},
		{"reset", ">S <S. >. >R", "half-open half-open established closing"},
		{"reset, and what was on its way", ">S <S. >. >R <P. <P.", "half-open half-open established closing closing closing"},
		{"a forged reset", ">S <S. >. >R <P. >.", "half-open half-open established closing closing established"},
		{"a forged reset to who is refused", ">S <R. <S.", "half-open closing closing"},
		{"SYN in an established connection", ">S <S. >. >S <.", "half-open half-open established established established"},
		{"ports used again", ">S <S. >. >F. <F. >. >S!", "half-open half-open established half-closed closing closing half-open"},
		{"ports used again from the other end", ">S <S. >. >F. <F. <S?", "half-open half-open established half-closed closing closing"},
		{"old connection answers a SYN with ACK", ">S <. >R >S!", "half-open half-open closing half-open"},
		{"no flags at all", ">S < > <S. >.", "half-open half-open half-open half-open established"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tab := table(t, session.Config{Capacity: 10})
			k := flow4(1)
			r, res := tab.Insert4(k, k.Swap(), tab.Hash4(k), 0, hdr.TCPSyn, 1)
			if res != session.Inserted {
				t.Fatal(res)
			}
			s := tab.At(r.Index())
			for i, p := range strings.Fields(test.packets) {
				s.Gen = 1
				dir := session.Ref(0)
				if p[0] == '<' {
					dir = 1
				}
				was := s.Class()
				event := tab.Seen(r|dir, 1, 40, flags(p[1:]), 1)
				want := session.NoEvent
				switch {
				case strings.HasSuffix(p, "!"):
					want = session.Reopened
				case strings.HasSuffix(p, "?"):
					want = session.Stale
				case s.Class() != was:
					want = session.ClassChanged
				}
				if got := s.Class().String(); got != strings.Fields(test.want)[i] || event != want {
					t.Errorf("after %d, %s: %s, event %d", i+1, p, got, event)
				}
				if undecided := s.Gen == 0; undecided != (event == session.Reopened) {
					t.Errorf("after %d, %s: generation %d", i+1, p, s.Gen)
				}
			}
			if err := tab.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMidstream: which first packets open a session.
func TestMidstream(t *testing.T) {
	for _, test := range []struct {
		tcp       string
		strict    session.Result
		midstream session.Result
	}{
		{"S", session.Inserted, session.Inserted},
		{"SP", session.Inserted, session.Inserted},
		{"S.", session.Midstream, session.Inserted},
		{".", session.Midstream, session.Inserted},
		{"F.", session.Midstream, session.Inserted},
		{"", session.Midstream, session.Midstream},
		{"R", session.Midstream, session.Midstream},
		{"R.", session.Midstream, session.Midstream},
		{"SF", session.Midstream, session.Midstream},
		{"SF.", session.Midstream, session.Midstream},
		{"F", session.Midstream, session.Midstream},
	} {
		for _, midstream := range []bool{false, true} {
			tab := table(t, session.Config{Capacity: 10, Midstream: midstream})
			k := flow4(1)
			r, res := tab.Insert4(k, k.Swap(), tab.Hash4(k), 0, flags(test.tcp), 1)
			want := test.strict
			if midstream {
				want = test.midstream
			}
			if res != want {
				t.Errorf("%q, midstream %t: %v, want %v", test.tcp, midstream, res, want)
			}
			if test.tcp != "." || res != session.Inserted {
				continue
			}
			if c := tab.At(r.Index()).Class(); c != session.TCPHalfOpen {
				t.Errorf("picked up, unanswered: %v", c)
			}
			if tab.Seen(r|1, 1, 40, hdr.TCPAck, 1); tab.At(r.Index()).Class() != session.TCPEstablished {
				t.Errorf("picked up, answered: %v", tab.At(r.Index()).Class())
			}
		}
	}
}

// TestTimeouts: each class is removed when its time is over, not a second
// before, and each packet starts it again.
func TestTimeouts(t *testing.T) {
	for _, test := range []struct {
		name    string
		proto   uint8
		packets string // after the first
		seconds uint32
	}{
		{"TCP half-open", hdr.ProtoTCP, "<S.", 240},
		{"TCP established", hdr.ProtoTCP, "<S. >.", 7440},
		{"TCP half-closed", hdr.ProtoTCP, "<S. >. <F.", 7440},
		{"TCP closed", hdr.ProtoTCP, "<S. >. <F. >F.", 240},
		{"TCP reset", hdr.ProtoTCP, "<S. >. <R", 240},
		{"UDP unreplied", hdr.ProtoUDP, ">", 120},
		{"UDP", hdr.ProtoUDP, "<", 300},
		{"ICMP unreplied", hdr.ProtoICMP, ">", 60},
		{"ICMP", hdr.ProtoICMP, "<", 60},
		{"ICMPv6", hdr.ProtoICMPv6, "<", 60},
		{"SCTP unreplied", hdr.ProtoSCTP, ">", 60},
		{"SCTP", hdr.ProtoSCTP, "<", 600},
	} {
		var gone []session.Why
		tab := table(t, session.Config{Capacity: 200, Gone: func(_ uint32, _ *session.Session, why session.Why) { gone = append(gone, why) }})
		const now = 1000
		k := session.MakeKey4(1, 2, 3, 4, test.proto, 0)
		r, res := tab.Insert4(k, k.Swap(), tab.Hash4(k), 0, hdr.TCPSyn, now)
		if res != session.Inserted {
			t.Fatal(res)
		}
		for _, p := range strings.Fields(test.packets) {
			dir := session.Ref(0)
			if p[0] == '<' {
				dir = 1
			}
			tcp := flags(p[1:])
			tab.Seen(r|dir, 1, 40, tcp, now+50)
		}
		for s := uint32(now); s < now+50+test.seconds; s += 7 {
			tab.Expire(s, 3)
		}
		if tab.Expire(now+50+test.seconds-1, 100); len(gone) != 0 {
			t.Errorf("%s: gone after %d s or earlier", test.name, test.seconds-1)
		}
		if n := tab.Expire(now+50+test.seconds, 100); n != 1 || len(gone) != 1 || gone[0] != session.Expired || tab.Stats().Expired != 1 {
			t.Errorf("%s: after %d s %d expired, told of %v", test.name, test.seconds, n, gone)
		}
		if tab.Find4(k, tab.Hash4(k)) != 0 {
			t.Errorf("%s: found after its end", test.name)
		}
	}
}

// TestExpireBudget: a call does no more than it may, and calls go on where the
// last one ended.
func TestExpireBudget(t *testing.T) {
	const n = 1000
	tab := table(t, session.Config{Capacity: n})
	for i := range n {
		k := flow4(i)
		if _, res := tab.Insert4(k, k.Swap(), tab.Hash4(k), 0, hdr.TCPSyn, 1); res != session.Inserted {
			t.Fatal(res)
		}
	}
	calls := 0
	for tab.Stats().Sessions > 0 {
		if got := tab.Expire(1000, 10); got > 10 {
			t.Fatalf("%d expired on a budget of 10", got)
		}
		if calls++; calls > n {
			t.Fatal("no end")
		}
	}
	if calls < n/10 || calls > n/10+n/64+2 {
		t.Errorf("%d calls", calls)
	}
	if got := tab.Expire(1000, 0); got != 0 {
		t.Errorf("%d expired on no budget", got)
	}
}
