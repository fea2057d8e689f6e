package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// Each worker has a table of its own, in a file of its own, and each flow one
// worker. If there are other workers than before, the flows are dealt out anew.

// shardPath returns the file of a worker's table.
func shardPath(runDir string, worker int) string {
	if worker == 0 {
		return SessionsPath(runDir)
	}
	return fmt.Sprintf("%s-%d", SessionsPath(runDir), worker)
}

// A layout says whose flows lie in which file. Without one there is one file, of
// the only worker.
type layout struct {
	Workers int       `json:"workers"`
	Seed    [4]uint64 `json:"seed"` // of the session.Sharding
}

func layoutPath(runDir string) string { return SessionsPath(runDir) + ".json" }

// readLayout returns what a predecessor has left.
func readLayout(runDir string) (l layout, err error) {
	text, err := os.ReadFile(layoutPath(runDir))
	if errors.Is(err, fs.ErrNotExist) {
		return layout{Workers: 1}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		return l, fmt.Errorf("which worker has which flows: %w", err)
	}
	return l, nil
}

// write leaves it to the next one.
func (l layout) write(runDir string) error {
	if l.Workers == 1 {
		if err := os.Remove(layoutPath(runDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	path := layoutPath(runDir)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// sharding returns how the flows of some workers are dealt out: as before if it
// is known, so that they stay where they are.
func (l layout) sharding(workers int) (*session.Sharding, error) {
	if l.Seed == [4]uint64{} {
		return session.NewSharding(workers)
	}
	return session.SeededSharding(workers, l.Seed), nil
}

// openTables opens a table for each worker, with what a predecessor has left.
func (c *Control) openTables() ([]*session.Table, error) {
	dir, conf := c.cfg.RunDir, sessionConfig(c.cfg.Sessions, c.cfg.Workers.Number())
	is := layout{c.sharding.Workers(), c.sharding.Seed()}
	was, err := readLayout(dir)
	if err != nil {
		c.log.Warn("flows that were known are dealt out anew", zap.Error(err))
	}
	old, fits, err := shardsIn(dir, conf.Capacity)
	if err != nil {
		return nil, err
	}
	if same := was == is || was.Workers == 1 && is.Workers == 1; !same || !fits || len(old) > is.Workers {
		if err := c.reshard(old, conf); err != nil {
			return nil, fmt.Errorf("deal flows out to %d workers: %w", is.Workers, err)
		}
	}
	if err := is.write(dir); err != nil {
		return nil, err
	}
	return c.openShards(func(worker int) string { return shardPath(dir, worker) }, conf, true)
}

// shardsIn returns the files of tables in a directory, and whether all are of
// the given capacity.
func shardsIn(dir string, capacity int) (paths []string, fit bool, err error) {
	more, err := filepath.Glob(SessionsPath(dir) + "-*[0-9]")
	if err != nil {
		return nil, false, err
	}
	fit = true
	for _, path := range append([]string{SessionsPath(dir)}, more...) {
		n, err := session.StoredCapacity(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, false, err
		case n != 0 && n != capacity:
			fit = false
		}
		paths = append(paths, path)
	}
	return paths, fit, nil
}

// openShards opens the file of each worker's table. The memory comes from where
// the worker runs, if it is kept there.
func (c *Control) openShards(path func(worker int) string, conf session.Config, tell bool) (tables []*session.Table, err error) {
	cpus, err := configs.ParseCPUs(c.cfg.Workers.CPUs)
	if err != nil {
		return nil, err
	}
	for worker := range c.cfg.Workers.Number() {
		var t *session.Table
		var kept session.Attached
		open := func() (err error) {
			t, kept, err = session.Open(path(worker), conf, session.Now())
			return err
		}
		if len(cpus) > worker {
			err = onCPU(cpus[worker], open)
		} else {
			err = open()
		}
		if err != nil {
			return nil, errors.Join(err, closeTables(tables))
		}
		tables = append(tables, t)
		if tell && (kept.Kept > 0 || kept.Dropped > 0 || kept.Empty != "") {
			c.log.Info("sessions", zap.Int("worker", worker), zap.Int("kept", kept.Kept), zap.Int("damaged", kept.Dropped), zap.String("empty", kept.Empty))
		}
	}
	return tables, nil
}

// onCPU calls f on a CPU: pages that are used for the first time are taken from
// the memory that is next to it.
func onCPU(cpu int, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and so the thread ends with this
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			result <- fmt.Errorf("run on CPU %d: %w", cpu, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// reshard makes the files of all workers of what lies in others, and removes
// those. It makes them under numbers that nobody has, so that wherever it is
// ended, the next one finds all flows in files that it looks at.
func (c *Control) reshard(old []string, conf session.Config) (err error) {
	workers, dir := c.cfg.Workers.Number(), c.cfg.RunDir
	base := freeShard(dir, old, workers)
	fresh := func(worker int) string { return shardPath(dir, base+worker) }
	tables, err := c.openShards(fresh, conf, false)
	if err != nil {
		return err
	}
	world, err := c.mapped()
	if err != nil {
		return errors.Join(err, closeTables(tables))
	}
	moved, lost := 0, 0
	for _, path := range old {
		m, l, err := deal(path, tables, func(t *session.Table, i uint32) int { return home(t, i, world, c.sharding) })
		if err != nil {
			return errors.Join(err, closeTables(tables))
		}
		moved, lost = moved+m, lost+l
	}
	if err := closeTables(tables); err != nil {
		return err
	}
	for i := range workers {
		if err := os.Rename(fresh(i), shardPath(dir, i)); err != nil {
			return err
		}
		old = slices.DeleteFunc(old, func(path string) bool { return path == shardPath(dir, i) })
	}
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	if moved+lost > 0 {
		c.log.Info("sessions dealt out anew", zap.Int("workers", workers), zap.Int("kept", moved), zap.Int("forgotten", lost))
	}
	return err
}

// freeShard returns a number from which on there are no files, nor will be with
// some workers.
func freeShard(runDir string, old []string, workers int) int {
	free := workers
	for _, path := range old {
		if n, err := strconv.Atoi(strings.TrimPrefix(path, SessionsPath(runDir)+"-")); err == nil {
			free = max(free, n+1)
		}
	}
	return free
}

// deal gives the sessions of a file to the tables of the workers that have them
// now. Those whose two directions have come to be of two workers are lost, and
// those that find no room.
func deal(path string, tables []*session.Table, home func(*session.Table, uint32) int) (moved, lost int, err error) {
	capacity, err := session.StoredCapacity(path)
	if err != nil || capacity == 0 {
		return 0, 0, err
	}
	now := session.Now()
	from, _, err := session.Open(path, session.Config{Capacity: capacity}, now)
	if err != nil {
		return 0, 0, err
	}
	for i := from.Next(0); i != 0; i = from.Next(i) {
		if at := home(from, i); at >= 0 && tables[at].Adopt(from, i, now) {
			moved++
		} else {
			lost++
		}
	}
	return moved, lost, from.Close()
}

// home returns which worker a session belongs to, and -1 if its two directions
// are of two.
func home(t *session.Table, i uint32, world *state.State, by *session.Sharding) int {
	var at [2]int
	for dir := range at {
		r := session.Ref(i<<1 | uint32(dir))
		if t.At(i).IsIPv6() {
			at[dir] = nodes.Owner6(world, by, t.Key6(r))
		} else {
			at[dir] = nodes.Owner4(world, by, t.Key4(r))
		}
	}
	if at[session.Forward] != at[session.Reverse] && !neverAnswered(t, i) {
		return -1
	}
	return at[session.Forward]
}

// neverAnswered reports whether no packet has the key of a session's answers: that
// of a tunnelled flow is of a zone of its own, and may be any worker's.
func neverAnswered(t *session.Table, i uint32) bool {
	r := session.Ref(i<<1) | session.Reverse
	if t.At(i).IsIPv6() {
		k := t.Key6(r)
		return k.Zone() != 0
	}
	return t.Key4(r).Zone() != 0
}

// mapped returns a world with the mappings for good that there are to be: they
// say whose the flows of mapped ends are.
func (c *Control) mapped() (*state.State, error) {
	asked, err := c.store.NAT()
	if err != nil {
		return nil, err
	}
	lines := slices.Clone(c.cfg.NAT.Static)
	for _, a := range asked {
		if a.Static != "" && !slices.Contains(lines, a.Static) {
			lines = append(lines, a.Static)
		}
	}
	statics := new(nat.Statics)
	var all []nat.Static
	for _, line := range lines {
		m, err := configs.ParseStatic(line)
		if err != nil {
			return nil, err
		}
		// What can't be beside the others is left out, as loadNAT does.
		if next, err := nat.NewStatics(append(slices.Clone(all), m)); err == nil {
			all, statics = append(all, m), next
		}
	}
	return &state.State{NAT: &state.NAT{Statics: statics}}, nil
}

func closeTables(tables []*session.Table) (failed error) {
	for _, t := range tables {
		failed = errors.Join(failed, t.Close())
	}
	return failed
}
