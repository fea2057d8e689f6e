package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/skein-dataplane/skein/api/server"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/control/takeover"
)

// run is the daemon's life.
func run(ctx context.Context, path string) error {
	cfg, err := configs.Load(path)
	if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	log, err := logger(cfg.Log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error can't be synced everywhere
	c, err := control.New(cfg, log)
	if err != nil {
		return err
	}
	// The socket comes first: a second daemon fails here, before it has
	// touched the uplink.
	srv, err := server.Listen(cfg.API, c, path)
	if err != nil {
		return err
	}
	go func() {
		if err := srv.Serve(); err != nil {
			log.Error("the API has failed", zap.Error(err))
		}
	}()
	defer srv.Stop()
	err = c.Run(ctx, func() {
		log.Info("ready", zap.String("config", path), zap.String("socket", cfg.API.Socket))
		notify(log, daemon.SdNotifyReady)
	})
	notify(log, daemon.SdNotifyStopping)
	return err
}

// notify tells systemd, if it wants to know.
func notify(log *zap.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("notify the service manager", zap.Error(err))
	}
}

// logger writes to standard error, and to a file as well if the configuration
// names one: a node whose network is gone can still be read there.
func logger(cfg configs.Log) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	cores := []zapcore.Core{zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(os.Stderr), level)}
	if cfg.File != "" {
		file, err := os.OpenFile(cfg.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return nil, fmt.Errorf("log.file: %w", err)
		}
		cores = append(cores, zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.AddSync(file), level))
	}
	return zap.New(zapcore.NewTee(cores...)), nil
}

func check(path string) error {
	if _, err := configs.Load(path); err != nil {
		return err
	}
	fmt.Println(path, "is sound")
	return nil
}

// restore gives all uplinks back that the run directory has records of.
func restore(path string) error {
	cfg, err := configs.Load(path)
	if errors.Is(err, os.ErrNotExist) {
		cfg = configs.Default()
	} else if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	uplinks, err := takeover.Records(cfg.RunDir)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range uplinks {
		if err := takeover.Restore(takeover.Options{Dir: cfg.RunDir, Uplink: name}); err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Println("gave back", name)
	}
	return errors.Join(failed...)
}
