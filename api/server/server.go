// Package server answers one question: what does the daemon do when the API
// asks?
//
// It serves the contract of package api over a control.Control, on a unix
// socket. It keeps nothing itself. Maturity: new.
package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
)

const (
	// socketMode lets root and the socket's group call.
	socketMode = 0o660
	// dirMode lets those of the group come by.
	dirMode = 0o755
	// graceful is how long calls under way may take when the server stops.
	graceful = time.Second
	// accepts is how long whoever has the socket may take to accept a
	// connection. One that does not still runs, so its socket is not taken.
	accepts = time.Second
)

// A Server answers on one socket.
type Server struct {
	grpc   *grpc.Server
	listen *net.UnixListener
	lock   *os.File // says that the socket is ours
	socket string
	once   sync.Once
}

// Listen makes the socket, so that clients can connect; Serve answers them.
// configPath is shown to who asks for it, and not read. The error says so if
// another daemon answers at the socket.
func Listen(cfg configs.API, c *control.Control, configPath string) (*Server, error) {
	s, err := bind(cfg.Socket, cfg.Group)
	if err != nil {
		return nil, err
	}
	skein := &service{control: c, configPath: configPath}
	s.grpc = grpc.NewServer(grpc.ChainUnaryInterceptor(bounded, skein.ready), grpc.StreamInterceptor(explained))
	skeinpb.RegisterSkeinServer(s.grpc, skein)
	return s, nil
}

// bind makes a socket that this process alone has.
func bind(socket, group string) (*Server, error) {
	s := &Server{socket: socket}
	gid := -1
	if group != "" {
		var err error
		if gid, err = lookupGroup(group); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.socket), dirMode); err != nil {
		return nil, fmt.Errorf("server: directory of the socket: %w", err)
	}
	if err := s.claim(); err != nil {
		return nil, err
	}
	if err := s.open(gid); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// Serve answers until Stop. It returns nil after Stop, and else why it can't go on.
func (s *Server) Serve() error {
	err := s.grpc.Serve(s.listen)
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) { // Stop may come first
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// Stop lets calls under way come to their end for a second, breaks off those
// that do not, and removes the socket. A stopped server may be stopped again.
func (s *Server) Stop() {
	s.once.Do(func() {
		done := make(chan struct{})
		go func() { s.grpc.GracefulStop(); close(done) }()
		select {
		case <-done:
		case <-time.After(graceful):
			s.grpc.Stop()
			<-done
		}
		_ = os.Remove(s.socket) // somebody may have been faster
		_ = s.lock.Close()      // and so gives the lock back
	})
}

// claim takes the lock beside the socket. Of two daemons that start at once,
// one gets it; a daemon that was killed has lost it.
func (s *Server) claim() error {
	f, err := os.OpenFile(s.socket+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("server: lock of the socket: %w", err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return errors.Join(fmt.Errorf("server: a daemon runs already at %s", s.socket), f.Close())
	case err != nil:
		return errors.Join(fmt.Errorf("server: lock of the socket: %w", err), f.Close())
	}
	s.lock = f
	return nil
}

// open makes the socket, in place of one that nobody listens on any more.
func (s *Server) open(gid int) error {
	if err := removeStale(s.socket); err != nil {
		return err
	}
	// The socket appears with its final mode or a narrower one. The mask is
	// the whole process's, for as long as this takes.
	mask := unix.Umask(0o777 &^ 0o600)
	listen, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.socket, Net: "unix"})
	unix.Umask(mask)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if gid >= 0 {
		if err := os.Chown(s.socket, -1, gid); err != nil {
			return errors.Join(fmt.Errorf("server: group of the socket: %w", err), listen.Close())
		}
	}
	if err := os.Chmod(s.socket, socketMode); err != nil {
		return errors.Join(fmt.Errorf("server: mode of the socket: %w", err), listen.Close())
	}
	s.listen = listen
	return nil
}

// removeStale removes a socket that a killed daemon has left behind. It
// touches nothing that is not a socket.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("server: %s: there is something that is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, accepts)
	switch {
	case err == nil:
		_ = conn.Close() // nothing was said
		return fmt.Errorf("server: a daemon runs already at %s", path)
	case errors.Is(err, unix.ECONNREFUSED):
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("server: stale socket: %w", err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("server: %s is in use: %w", path, err)
}

func lookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("server: group of the socket: %w", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("server: group %s has id %q: %w", name, g.Gid, err)
	}
	return gid, nil
}
