package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

// A daemon knows its version and refuses to delete anything.
type daemon struct {
	skeinpb.UnimplementedSkeinServer
}

func (daemon) GetVersion(context.Context, *skeinpb.GetVersionRequest) (*skeinpb.GetVersionResponse, error) {
	return &skeinpb.GetVersionResponse{Version: "v0.1.0"}, nil
}

func (daemon) DeleteInterface(_ context.Context, r *skeinpb.DeleteInterfaceRequest) (*skeinpb.DeleteInterfaceResponse, error) {
	return nil, status.Errorf(codes.FailedPrecondition, "%s is the uplink", r.Name)
}

// Ping sends one result, and then nothing.
func (daemon) Ping(_ *skeinpb.PingRequest, out grpc.ServerStreamingServer[skeinpb.PingResponse]) error {
	if err := out.Send(&skeinpb.PingResponse{Sequence: 1, Result: skeinpb.PingResult_PING_RESULT_TIMEOUT}); err != nil {
		return err
	}
	<-out.Context().Done()
	return nil
}

// TestMain makes the test's own program be skeinctl when a test runs it: what
// is tested is always what stands here.
func TestMain(m *testing.M) {
	if os.Getenv("SKEINCTL_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// program returns a skeinctl to be started, with a bound in time.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), "SKEINCTL_TEST_MAIN=1")
	return cmd
}

// serve returns the socket of a daemon.
func serve(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	skeinpb.RegisterSkeinServer(g, daemon{})
	go func() { _ = g.Serve(l) }() // says only that it was stopped
	t.Cleanup(g.Stop)
	return socket
}

// TestExitStatus runs the real program.
func TestExitStatus(t *testing.T) {
	socket := serve(t)
	gone := socket + ".gone"
	for _, tc := range []struct {
		line, in, out, err string
		rc                 int
	}{
		{line: "--socket " + socket + " sh ver", out: "skein v0.1.0"},
		{line: "--socket " + socket, in: "show version\n", out: "skein v0.1.0"},
		{line: "--socket " + socket + " delete interface eth0", err: "skeinctl: eth0 is the uplink\n", rc: 1},
		{line: "--socket " + socket + " show runtime", err: "another version", rc: 1},
		{line: "show nonsense", err: "unknown word", rc: 2},
		{line: "--nonsense", err: "unknown flag", rc: 2},
		{line: "--socket " + gone + " show version", err: "cannot reach skeind at " + gone + ": no such socket. Start skeind", rc: 3},
		{line: "--socket " + gone, in: "show version\n", err: "line 1: cannot reach skeind", rc: 3},
		{line: "--help", out: "Available Commands"},
		{line: "completion bash", out: "bash completion"},
		{line: "__complete show ver", out: "version\tVersion of the daemon"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			cmd := program(t, strings.Fields(tc.line)...)
			cmd.Stdin = strings.NewReader(tc.in)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if rc := cmd.ProcessState.ExitCode(); rc != tc.rc || !strings.Contains(out.String(), tc.out) || !strings.Contains(errs.String(), tc.err) {
				t.Errorf("status %d, out %q, err %q; want %d, %q, %q", rc, &out, &errs, tc.rc, tc.out, tc.err)
			}
		})
	}
}

// TestInterrupt stops a script in the middle of a ping: it sums up, and does
// not go on with the next line.
func TestInterrupt(t *testing.T) {
	cmd := program(t, "--socket", serve(t))
	cmd.Stdin = strings.NewReader("ping 192.0.2.1 repeat 1000\nshow version\n")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	first, err := r.ReadString('\n')
	if err != nil || first != "icmp_seq=1 no answer\n" {
		t.Fatalf("%q, %v", first, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the status is what is looked at
	if rc := cmd.ProcessState.ExitCode(); rc != 1 || string(rest) != "\nStatistics: 1 sent, 0 received, 100% packet loss\n" ||
		errs.String() != "skeinctl: line 1: interrupted\n" {
		t.Errorf("status %d, %q, %q", rc, rest, &errs)
	}
}
