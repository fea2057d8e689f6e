package service_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/service"
)

// A load balancer asks over the wire, and hears what kube-proxy would say.
func TestHealth(t *testing.T) {
	var addr string
	h := service.Health{Listen: func(port uint16) (net.Listener, error) {
		if port == 2 {
			return nil, errors.New("in use")
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			addr = l.Addr().String()
		}
		return l, err
	}}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(want int, body string) {
		t.Helper()
		r, err := client.Get("http://" + addr + "/anything")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != want || strings.TrimSpace(string(text)) != body || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %s %v, want %d %s", r.StatusCode, text, err, want, body)
		}
	}
	if err := h.Set(map[uint16]service.Check{1: {"shop", "web", 2}}); err != nil {
		t.Fatal(err)
	}
	ask(200, `{"service":{"namespace":"shop","name":"web"},"localEndpoints":2,"serviceProxyHealthy":true}`)
	if err := h.Set(map[uint16]service.Check{1: {"shop", "web", 0}}); err != nil {
		t.Fatal(err)
	}
	ask(503, `{"service":{"namespace":"shop","name":"web"},"localEndpoints":0,"serviceProxyHealthy":true}`)
	err := h.Set(map[uint16]service.Check{2: {"shop", "other", 0}})
	if err == nil || !strings.Contains(err.Error(), "health check of shop/other") {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		t.Error("a port is still open")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
