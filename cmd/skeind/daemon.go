package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/api/server"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/internal/runtimecfg"
	"github.com/skein-dataplane/skein/internal/supervise"
)

// A daemon is the process that moves packets.
type daemon struct {
	config    string          // path
	link      *supervise.Link // to the supervisor; nil: there is none
	successor bool            // a predecessor is to keep what it has for us
	logger    func(configs.Log) (*zap.Logger, error)
}

// beat is the time between two signs of life.
const beat = time.Second

func (d *daemon) run(ctx context.Context) error {
	signal.Ignore(syscall.SIGHUP) // it is for the supervisor
	cfg, err := configs.Load(d.config)
	if err != nil {
		return err
	}
	if err := needToRun(); err != nil {
		return err
	}
	log, err := d.logger(cfg.Log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error can't be synced everywhere
	set := runtimecfg.Apply(cfg.Workers.Number())
	log.Debug("Go's runtime", zap.Int("GOMAXPROCS", set.Procs), zap.Int("GOGC", set.GCPercent))
	c, err := control.New(cfg, log)
	if err != nil {
		return err
	}
	if d.successor {
		devices, err := d.link.AwaitGo(ctx)
		if err != nil {
			return err
		}
		c.Inherit(devices)
	}
	return d.serve(ctx, c, cfg, log)
}

// serve moves packets and answers the API until ctx is done or the supervisor
// wants it to end.
func (d *daemon) serve(ctx context.Context, c *control.Control, cfg configs.Config, log *zap.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The socket comes first: a second daemon fails here, before it has
	// touched the uplink.
	srv, err := server.Listen(cfg.API, c, d.config)
	if err != nil {
		return err
	}
	go func() {
		if err := srv.Serve(); err != nil {
			log.Error("the API has ended", zap.Error(err))
		}
	}()
	defer srv.Stop()
	stopCalico, err := serveCalico(cfg, c, log)
	if err != nil {
		return err
	}
	defer stopCalico()
	if d.link != nil {
		go d.obey(c, srv, log, stop)
	}
	err = c.Run(ctx, func() {
		log.Info("ready", zap.String("config", d.config), zap.String("socket", cfg.API.Socket))
		d.say(log, supervise.Ready, sdnotify.SdNotifyReady)
		if d.link != nil {
			go d.link.Beat(ctx, beat, c.Alive)
		}
	})
	d.say(log, supervise.Released, sdnotify.SdNotifyStopping)
	return err
}

// serveCalico answers Calico's CNI plugin, where the configuration asks for it.
func serveCalico(cfg configs.Config, c *control.Control, log *zap.Logger) (stop func(), err error) {
	if cfg.CNI.CalicoSocket == "" {
		return func() {}, nil
	}
	srv, err := server.ListenCalico(cfg.CNI, c)
	if err != nil {
		return nil, err
	}
	go func() {
		if err := srv.Serve(); err != nil {
			log.Error("the service for Calico's CNI plugin has ended", zap.Error(err))
		}
	}()
	return srv.Stop, nil
}

// obey does what the supervisor says. If it has died, this process must end as
// well: nobody would give the uplinks back if it were killed.
func (d *daemon) obey(c *control.Control, srv *server.Server, log *zap.Logger, stop func()) {
	defer stop()
	for word, ok := d.link.Word(); ok; word, ok = d.link.Word() {
		if word == supervise.Keep {
			log.Info("another data plane takes over")
			srv.Stop() // calls under way end while packets still move
			c.Keep(d.link.Hand)
			return
		}
	}
	log.Warn("the supervisor has died: stopping")
}

// say tells the supervisor, or, without one, systemd.
func (d *daemon) say(log *zap.Logger, word, state string) {
	if d.link == nil {
		notify(log, state)
		return
	}
	if err := d.link.Say(word); err != nil {
		log.Warn("tell the supervisor", zap.Error(err))
	}
}
