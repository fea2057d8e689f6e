package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Places in Control.files.
const (
	policyFiles = iota
	serviceFiles
)

const (
	// filesQuiet is how long files have to be left alone before they are read
	// again: whoever changes several does so in one go.
	filesQuiet = 200 * time.Millisecond
	// filesAgain is when directories are looked for again that are not there.
	filesAgain = 2 * time.Second
	// fileChanges is what happens in a directory when a file of it changes, or
	// when it goes itself (inotify(7)). A file's own directory is watched, as
	// editors and Kubernetes' volumes put another file in its place.
	fileChanges = unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
)

// watchFiles has the configured files of policy and of services read again when
// they have changed. Where the kernel does not tell, they are read at the next
// start only.
func (c *Control) watchFiles(ctx context.Context) {
	if len(c.cfg.Policy.Files)+len(c.cfg.Services.Files) == 0 || c.AwaitReady(ctx) != nil {
		return
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		c.log.Warn("files of policy and services are not watched: changes hold after a reload", zap.Error(err))
		return
	}
	news := os.NewFile(uintptr(fd), "inotify")
	context.AfterFunc(ctx, func() { _ = news.Close() })
	wake := make(chan struct{}, 1)
	go func() {
		room := make([]byte, 4096)
		for {
			if _, err := news.Read(room); err != nil {
				return // closed
			}
			select {
			case wake <- struct{}{}:
			default: // it will look
			}
		}
	}()
	c.followFiles(ctx, func() error { return watchDirs(fd, c.cfg.Policy.Files, c.cfg.Services.Files) }, wake)
}

// watchDirs watches the directories that files are in, and those that are named.
// One that is watched already stays so.
func watchDirs(fd int, lists ...[]string) (failed error) {
	for _, path := range slices.Concat(lists...) {
		dirs := []string{filepath.Dir(path)}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			dirs = append(dirs, path)
		}
		for _, dir := range dirs {
			if _, err := unix.InotifyAddWatch(fd, dir, fileChanges); err != nil {
				failed = errors.Join(failed, fmt.Errorf("control: watch %s: %w", dir, err))
			}
		}
	}
	return failed
}

// followFiles reads files again when they have changed since they were last
// looked at.
func (c *Control) followFiles(ctx context.Context, watch func() error, wake <-chan struct{}) {
	for {
		var again <-chan time.Time
		if watch() != nil {
			again = time.After(filesAgain)
		}
		for i, x := range [...]struct {
			what  string
			paths []string
			read  func(context.Context) error
		}{policyFiles: {"policy", c.cfg.Policy.Files, c.rereadPolicy}, serviceFiles: {"services", c.cfg.Services.Files, c.rereadServices}} {
			if now := stateOfFiles(x.paths); now != c.files[i] && ctx.Err() == nil {
				c.files[i] = now // before they are read: what changes meanwhile is news
				c.tellReread(x.what, x.read(ctx))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-again:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(filesQuiet):
		}
		select {
		case <-wake: // what it was about is looked at now
		default:
		}
	}
}

// stateOfFiles returns what tells files from those that were there before.
func stateOfFiles(paths []string) string {
	var out []byte
	for _, path := range paths {
		names, err := manifestFiles(path)
		if err != nil {
			out = fmt.Append(out, path, " ", errors.Is(err, fs.ErrNotExist), "\n")
		}
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				out = fmt.Append(out, name, " ", info.Size(), " ", info.ModTime().UnixNano(), inodeOf(info), "\n")
			}
		}
	}
	return string(out)
}

// inodeOf tells a file from another of its name, size and time.
func inodeOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// tellReread logs how it went, and keeps for the status what went wrong. c.mu
// is not held.
func (c *Control) tellReread(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.unread, what)
		c.log.Info("files have changed, and are read again", zap.String("of", what))
		return
	}
	if c.unread == nil {
		c.unread = map[string]string{}
	}
	c.unread[what] = fmt.Sprintf("they have changed, and can't be read again; what was read before stays in force: %v", err)
	c.log.Warn("files have changed, and can't be read again; what was read before stays in force", zap.String("of", what), zap.Error(err))
}

// rereadServices makes the services of files those that the files have now, or,
// if any of it can't be, changes nothing.
func (c *Control) rereadServices(ctx context.Context) error {
	files, err := readServices(c.cfg.Services.Files)
	if err != nil {
		return err
	}
	if err := c.useNAT(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.nat
	next, err := filesOf(files)
	if err != nil {
		return err
	}
	for key, file := range next {
		if of := t.sources[key]; of == apiSource {
			return fmt.Errorf("control: %s in %s: %w in %s", key, file, ErrExists, of)
		}
	}
	for key, of := range maps.Clone(t.sources) {
		if of != apiSource && next[key] == "" {
			t.drop(key)
		} else if of != apiSource {
			t.sources[key] = next[key]
		}
	}
	for _, f := range files {
		if err := t.add(f.name, f.objects); err != nil {
			return err
		}
	}
	return c.publish()
}
