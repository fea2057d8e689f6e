package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
)

func newSession(socket string, out, errs *bytes.Buffer) *session {
	return &session{
		std:  Streams{Out: out, Err: errs},
		opts: options{socket: socket, timeout: api.DefaultTimeout, output: "text"},
	}
}

func TestComplete(t *testing.T) {
	var out, errs bytes.Buffer
	s := newSession(start(t, &fake{}), &out, &errs)
	defer s.close()
	for _, tc := range []struct {
		line, want string
		choice     []string
	}{
		{"sh", "show ", []string{"show"}},
		{"s", "s", []string{"service", "set", "show"}},
		{"sh i", "sh i", []string{"interface", "ip", "ip6"}},
		{"sh int", "sh interface ", []string{"interface"}},
		{"show interface t", "show interface t", []string{"tap0", "tun3"}},
		{"show interface tu", "show interface tun3 ", []string{"tun3"}},
		{"show interface tun3 tap", "show interface tun3 tap0 ", []string{"tap0"}},
		{"show node ip4-l", "show node ip4-lookup ", []string{"ip4-lookup"}},
		{"trace add ip4", "trace add ip4-", []string{"ip4-input", "ip4-lookup", "ip4-rewrite"}},
		{"trace add host", "trace add host-enp0s3 ", []string{"host-enp0s3"}},
		{"set int state tun3 u", "set int state tun3 up ", []string{"up"}},
		{"set interface feature tun3 acl arc ", "set interface feature tun3 acl arc ip4-unicast ", []string{"ip4-unicast"}},
		{"create tun x ", "create tun x ", []string{"address", "ifname", "mtu", "netns", "offload", "queues"}},
		{"create tun x netns y m", "create tun x netns y mtu ", []string{"mtu"}},
		{"create tun x netns ", "create tun x netns ", nil},
		{"ping 10.0.0.1 rep", "ping 10.0.0.1 repeat ", []string{"repeat"}},
		{"ip route add black", "ip route add blackhole ", []string{"blackhole"}},
		{"ip route add 10.0.0.0/8 dev tu", "ip route add 10.0.0.0/8 dev tun3 ", []string{"tun3"}},
		{"-o json sh ver", "-o json sh version ", []string{"version"}},
		{"nonsense ", "nonsense ", nil},
	} {
		got, pos, choice := s.complete(tc.line, len(tc.line))
		if got != tc.want || pos != len(tc.want) || !slices.Equal(choice, tc.choice) {
			t.Errorf("complete(%q) = %q, %d, %q; want %q, %q", tc.line, got, pos, choice, tc.want, tc.choice)
		}
	}
	if got, pos, _ := s.complete("sh  ver", 2); got != "show   ver" || pos != 5 {
		t.Errorf("in the middle: %q, %d", got, pos)
	}
}

// TestCompleteAlone has no daemon: the words are still completed, in silence.
func TestCompleteAlone(t *testing.T) {
	var out, errs bytes.Buffer
	s := newSession(filepath.Join(t.TempDir(), "none"), &out, &errs)
	if got, _, choice := s.complete("show interface a", 16); got != "show interface addr " || len(choice) != 1 {
		t.Errorf("%q, %q", got, choice)
	}
	if _, _, choice := s.complete("show node ", 10); len(choice) != 0 {
		t.Errorf("%q", choice)
	}
	if out.Len()+errs.Len() > 0 {
		t.Errorf("printed %q, %q", &out, &errs)
	}
}

// noRaw stands in for the switch to raw mode: there is no terminal.
func noRaw() (func() error, error) { return func() error { return nil }, nil }

func TestPrompt(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	var out, errs bytes.Buffer
	s := newSession(start(t, &fake{}), &out, &errs)
	defer s.close()
	in := strings.NewReader("sh ver\rshow ?\x15show no\r\rsh int tu\t\rquit\rnever\r")
	if err := s.prompt(in, &out, noRaw); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"skein# ", "skein v0.1.0", "hardware-interfaces", "tun3 ", "18446744073709551615"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, &out)
		}
	}
	if want := "show node: words missing. Usage: show node <name>\n"; errs.String() != want {
		t.Errorf("errors %q, want %q", &errs, want)
	}
	file := filepath.Join(home, ".skeinctl_history")
	got, err := os.ReadFile(file)
	if want := "sh ver\nshow no\nsh int tun3 \nquit\n"; err != nil || string(got) != want {
		t.Errorf("history %q, %v; want %q", got, err, want)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("history: %v, %v; want mode 0600", st.Mode(), err)
	}
	// The next prompt starts with it: two lines up from quit, run again.
	out.Reset()
	if err := s.prompt(strings.NewReader("\x1b[A\x1b[A\r"), &out, noRaw); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "18446744073709551615") {
		t.Errorf("history is not used: %q", &out)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h, err := readHistory(filepath.Join(t.TempDir(), "h"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxHistory + 10 {
		h.Add(strings.Repeat("x", i+1))
	}
	h.Add("")
	h.Add(h.At(0))
	if h.Len() != maxHistory || len(h.At(0)) != maxHistory+10 || len(h.At(maxHistory-1)) != 11 {
		t.Errorf("%d lines", h.Len())
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	if again, err := readHistory(h.path); err != nil || !slices.Equal(again.lines, h.lines) {
		t.Errorf("read back %d lines, %v", again.Len(), err)
	}
}

func TestScript(t *testing.T) {
	f := &fake{}
	socket := start(t, f)
	out, errs, rc := ctl(t, socket, "# a comment\n\nshow version\nset int state tun3 up\nshow buf -o json\n")
	if rc != 0 || errs != "" || !strings.Contains(out, "skein v0.1.0") || !strings.Contains(out, `"frameSize": 2112`) {
		t.Errorf("status %d, %q, %q", rc, out, errs)
	}
	out, errs, rc = ctl(t, socket, "show version\nset interface state nope up\nshow buffers\n")
	if rc != 1 || errs != "skeinctl: line 2: no interface \"nope\"\n" || strings.Contains(out, "Pool") {
		t.Errorf("refused: status %d, %q, %q", rc, out, errs)
	}
	_, errs, rc = ctl(t, socket, "sho w\n")
	if rc != 2 || !strings.Contains(errs, "line 1: show w: unknown word") {
		t.Errorf("wrong words: status %d, %q", rc, errs)
	}
	out, errs, rc = ctl(t, socket, "quit\nshow version\n")
	if rc != 0 || out+errs != "" {
		t.Errorf("quit: status %d, %q, %q", rc, out, errs)
	}
	out, _, rc = ctl(t, socket, "show version", "-o", "json")
	if rc != 0 || !strings.HasPrefix(out, "{") {
		t.Errorf("flags of the program are not those of its lines: %d, %q", rc, out)
	}
}

func TestHangingDaemon(t *testing.T) {
	socket := start(t, &fake{hang: true})
	begin := time.Now()
	_, errs, rc := ctl(t, socket, "", "--timeout", "100ms", "show", "version")
	if took := time.Since(begin); rc != 3 || !strings.Contains(errs, "did not answer in time") || took > 5*time.Second {
		t.Errorf("status %d after %v: %s", rc, took, errs)
	}
}

func TestPingWithoutAnswerFails(t *testing.T) {
	out, errs, rc := ctl(t, start(t, &fake{}), "", "ping", "192.0.2.99", "repeat", "1")
	if rc != 1 || !strings.Contains(out, "1 sent, 0 received, 100% packet loss") || errs != "skeinctl: no answer from 192.0.2.99\n" {
		t.Errorf("status %d, %q, %q", rc, out, errs)
	}
}

// TestExtraCommands has a command that the program brings along.
func TestExtraCommands(t *testing.T) {
	ran := 0
	extra := func() *cobra.Command {
		lab := &cobra.Command{Use: "laboratory", RunE: func(cmd *cobra.Command, args []string) error {
			if ran++; cmd.Context() == nil || len(args) != 1 {
				return errors.New("no context or no word")
			}
			return nil
		}}
		lab.PersistentFlags().Bool("keep", false, "")
		return lab
	}
	var out, errs bytes.Buffer
	rc := Main(nil, Streams{strings.NewReader("lab up\nlab up --keep\nlab\n"), &out, &errs}, extra)
	if want := "skeinctl: line 3: no context or no word\n"; rc != 1 || ran != 3 || errs.String() != want {
		t.Errorf("status %d, ran %d times, %q; want 1, 3, %q", rc, ran, &errs, want)
	}
}
