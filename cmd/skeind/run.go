package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/internal/supervise"
)

// supervised is the supervisor's life.
func supervised(ctx context.Context, path string, stop *stops) error {
	// If this process can't go on, its end of the connection to the data plane
	// is closed with it, and the uplink given back.
	before, err := predecessor()
	if err != nil {
		return err
	}
	cfg, err := configs.Load(path)
	if err != nil {
		return err
	}
	if err := needToRun(); err != nil {
		return err
	}
	log, err := logger(cfg.Log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error can't be synced everywhere
	log = log.Named("supervisor")
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the way to the newest binary: %w", err)
	}
	if before != nil {
		if err := takeover.SetLeft(cfg.RunDir, false); err != nil {
			return err
		}
	}
	hup, listen := hangups(ctx)
	return supervise.Run(ctx, supervise.Config{
		Command: func(own, successor bool) *exec.Cmd { return dataPlane(exe, path, own, successor) },
		Restore: func() error {
			_, err := restoreAll(cfg.RunDir, lockWait)
			return err
		},
		Restart: cfg.Restart,
		Notify:  func(state string) { notify(log, state) },
		Adopt:   before,
		Leave:   func(p supervise.Predecessor) error { return leave(cfg.RunDir, p) },
		Renew: func(p supervise.Predecessor) error {
			defer listen() // again
			return renew(exe, p, stop)
		},
		Log: log,
	}, hup)
}

// hangups turns SIGHUP into events, of which one waits at most. listen has it
// do so again after the signal was ignored.
func hangups(ctx context.Context) (events <-chan struct{}, listen func()) {
	signals, out := make(chan os.Signal, 1), make(chan struct{}, 1)
	listen = func() { signal.Notify(signals, syscall.SIGHUP) }
	listen()
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out, listen
}

// dataPlane returns the command of the supervisor's child: of the binary that
// lies now where this one was started from, or of this very one.
func dataPlane(exe, config string, own, successor bool) *exec.Cmd {
	if own {
		exe = "/proc/self/exe" // also if it was deleted meanwhile
	}
	args := []string{"daemon", "--config", config, "--supervisor", strconv.Itoa(supervise.ChildFD)}
	if successor {
		args = append(args, "--successor")
	}
	cmd := exec.Command(exe, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The service manager hears of the child by its supervisor alone.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "NOTIFY_SOCKET=") || strings.HasPrefix(e, "WATCHDOG_")
	})
	return cmd
}

// notify tells systemd, if it wants to know.
func notify(log *zap.Logger, state string) {
	if _, err := sdnotify.SdNotify(false, state); err != nil {
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
