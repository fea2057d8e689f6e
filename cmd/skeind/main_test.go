package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/takeover"
)

// The test binary is its own daemon: TestMain runs it if the environment says
// so, and kills it at a step.
const (
	envRole   = "SKEIND_TEST_ROLE" // roleDaemon or roleRestore
	envConfig = "SKEIND_TEST_CONFIG"
	envKillAt = "SKEIND_TEST_KILL_AT" // number of the step, from 1; 0: never

	roleDaemon  = "daemon"
	roleRestore = "restore"
)

func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// play is the life of a daemon, or of a restore, that ends at a step.
func play(role string) error {
	at, err := strconv.ParseUint(os.Getenv(envKillAt), 10, 64)
	if err != nil {
		return err
	}
	var steps atomic.Uint64
	step := func() {
		if steps.Add(1) == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it comes
		}
	}
	path := os.Getenv(envConfig)
	if role == roleDaemon {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		d := daemon{config: path, logger: func(cfg configs.Log) (*zap.Logger, error) {
			log, err := logger(cfg)
			if err != nil {
				return nil, err
			}
			return log.WithOptions(zap.Hooks(func(e zapcore.Entry) error {
				if e.Message == "step" {
					step()
				}
				return nil
			})), nil
		}}
		return d.run(ctx)
	}
	cfg, err := configs.Load(path)
	if err != nil {
		return err
	}
	uplinks, err := takeover.Records(cfg.RunDir)
	for _, name := range uplinks {
		opts := takeover.Options{Dir: cfg.RunDir, Uplink: name, Progress: func(string) { step() }}
		if err := takeover.Restore(opts); err != nil {
			return err
		}
	}
	return err
}
