package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Check is what a healthCheckNodePort says: how many endpoints of a service
// are ready on this node.
type Check struct {
	Namespace, Name string
	Local           int
}

// Health answers load balancers that ask on healthCheckNodePorts which nodes
// have endpoints of a service: 200 if this one has, 503 if not, with the body
// that kube-proxy sends (KEP-2829 and pkg/proxy/healthcheck in Kubernetes).
type Health struct {
	// Listen opens a port; net.Listen on all addresses of the host if nil.
	Listen func(port uint16) (net.Listener, error)

	mu      sync.Mutex
	servers map[uint16]*healthServer
}

type healthServer struct {
	mu    sync.Mutex
	check Check
	http  http.Server
	done  chan struct{}
}

// healthTimeout bounds how long one question may take.
const healthTimeout = 5 * time.Second

// Set makes the answers those of checks, by port. Ports that are no longer
// there are closed. It reports the ports that could not be opened; the others
// are open, and another Set tries those again.
func (h *Health) Set(checks map[uint16]Check) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var wrong []error
	for port, s := range h.servers {
		if _, ok := checks[port]; !ok {
			wrong = append(wrong, s.close())
			delete(h.servers, port)
		}
	}
	for port, c := range checks {
		if s := h.servers[port]; s != nil {
			s.set(c)
			continue
		}
		if err := h.open(port, c); err != nil {
			wrong = append(wrong, fmt.Errorf("service: health check of %s/%s: %w", c.Namespace, c.Name, err))
		}
	}
	return errors.Join(wrong...)
}

// Close closes all ports.
func (h *Health) Close() error { return h.Set(nil) }

func (h *Health) open(port uint16, c Check) error {
	listen := h.Listen
	if listen == nil {
		listen = func(port uint16) (net.Listener, error) {
			return net.Listen("tcp", ":"+strconv.Itoa(int(port)))
		}
	}
	l, err := listen(port)
	if err != nil {
		return err
	}
	s := &healthServer{check: c, done: make(chan struct{})}
	s.http = http.Server{Handler: s, ReadTimeout: healthTimeout, WriteTimeout: healthTimeout, IdleTimeout: healthTimeout, MaxHeaderBytes: 8 << 10}
	if h.servers == nil {
		h.servers = map[uint16]*healthServer{}
	}
	h.servers[port] = s
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // until it is closed
	}()
	return nil
}

func (s *healthServer) set(c Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check = c
}

func (s *healthServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

// ServeHTTP answers whatever is asked for.
func (s *healthServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	c := s.check
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(c.Local))
	if c.Local > 0 {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	type name struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	}
	// Whoever has gone away in the meantime does not want it any more.
	_ = json.NewEncoder(w).Encode(struct {
		Service name `json:"service"`
		Local   int  `json:"localEndpoints"`
		Healthy bool `json:"serviceProxyHealthy"`
	}{name{c.Namespace, c.Name}, c.Local, true})
}
