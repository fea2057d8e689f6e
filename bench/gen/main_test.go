package main

import (
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
)

func TestGen(t *testing.T) {
	l := lab.ForTest(t)
	p, err := l.KernelPair()
	lab.Need(t, err)
	ends := " -from " + p.PodA.FullName() + " -to " + p.PodB.Path()
	for args, want := range map[string]string{
		"udp -at 10.244.0.3 -count 100 -rate 10000":                                   "100 datagrams sent, 100 received",
		"udp -at 10.244.0.3 -count 100 -rate 10000 -size 1000 -segment 10 -senders 2": "100 datagrams sent, 100 received",
		"connects -at 2001:db8:244::3 -count 20 -clients 2 -for 10s":                  "20 connections in",
		"requests -at [2001:db8:244::3]:8080 -count 20 -for 10s":                      "20 answers in",
		"requests -at 10.244.0.3 -count 20 -size 100 -conns 4 -for 10s -flood 1000":   "not taken by the sender's kernel",
		"connects -at 10.244.0.3:80 -by 10.244.0.3:80 -count 1":                       "1 connections in",
		"udp -h": "-segment",
	} {
		var out strings.Builder
		if err := run(t.Context(), &out, strings.Fields(args+ends)); err != nil && !strings.HasSuffix(args, "-h") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v\n%s", args, err, out.String())
		}
	}
}

func TestGenRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "gen: what?",
		"-h":                                  "gen: what?",
		"icmp":                                "not one of",
		"udp -nonsense":                       "not defined",
		"udp":                                 "are needed",
		"udp -at 10.0.0.1 -from a":            "are needed",
		"udp -at 10.0.0.1 -from a -to b more": "not an option",
		"udp -at nowhere -from a -to b":       "-at",
		"udp -at 10.0.0.1 -from a -to b -by nowhere":    "-by",
		"udp -at 10.0.0.1 -from a -to b -by 10.0.0.2:1": "needs a port",
		"udp -at 10.0.0.1 -from a -to no-such-space":    "no such file",
		"udp -at 10.0.0.1 -from a -to b -size 100000":   "not between",
		"connects -at 10.0.0.1 -from a -to b -for 2m":   "not between",
	} {
		var out strings.Builder
		if err := run(t.Context(), &out, strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
