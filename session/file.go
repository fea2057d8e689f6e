package session

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"os"
	"reflect"
	"strings"

	"golang.org/x/sys/unix"
)

// The file of a table: a header in the first page, then all Sessions, then the
// rest of each. The bytes
// are in the machine's own order, as the file never leaves it.
//
//	 0  magic, 8
//	 8  version, 4    | bytes per record, 4
//	16  layout, 8: a hash of the names, places and types of a record's fields
//	24  capacity, 8
//	32  boot, 16: the kernel's boot_id, as times count from boot
//	48  seed, 32
//	80  CRC-32 of all above, 4
const (
	fileMagic   = "skeinses"
	fileVersion = 1 // raise it when a field's meaning changes
	headerLen   = 84
	recordsAt   = 4096
)

// file is a table's hold on its file.
type file struct{ f *os.File }

func (f *file) close() error {
	if f == nil {
		return nil
	}
	return f.f.Close() // and with it the lock
}

// Attached says what Open has found.
type Attached struct {
	Kept    int // sessions taken over
	Dropped int // records that were damaged, half written or half removed
	// Empty is why nothing was taken over, in words; "" if the file's sessions
	// were.
	Empty string
}

// ErrInUse is the error of Open when another process has the file.
var ErrInUse = errors.New("another process has the file")

// Open returns a table whose records lie in a file, with the sessions that an
// earlier process has left there; now is the current second. The file belongs
// in a directory that is emptied at boot and that only root writes to, such as
// /run/skein. Its space is allocated at once, so that memory that runs out is
// an error here and no fault later.
//
// All sessions come back undecided: their policy's generation is not known any
// more. If the file is of another version, layout, capacity or boot, or its
// header is damaged, the table starts empty and Attached says why.
func Open(path string, c Config, now uint32) (*Table, Attached, error) {
	t, err := newTable(c)
	if err != nil {
		return nil, Attached{}, err
	}
	found, err := t.attach(path, now)
	if err != nil {
		_ = t.Close()
		return nil, Attached{}, fmt.Errorf("session: %s: %w", path, err)
	}
	return t, found, nil
}

func (t *Table) attach(path string, now uint32) (Attached, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return Attached{}, fmt.Errorf("open: %w", err)
	}
	t.file = &file{f}
	info, err := f.Stat()
	if err != nil {
		return Attached{}, fmt.Errorf("stat: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Attached{}, errors.New("not a regular file")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return Attached{}, fmt.Errorf("lock: %w", err)
	}
	size := recordsAt + (int(t.capacity)+1)*RecordLen
	empty, err := t.readHeader(f, info.Size(), int64(size))
	if err != nil {
		return Attached{}, err
	}
	if empty != "" {
		if err := t.format(f, int64(size)); err != nil {
			return Attached{}, err
		}
	}
	if t.memory, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return Attached{}, fmt.Errorf("map %d bytes: %w", size, err)
	}
	adviseHuge(t.memory)
	t.setRecords(t.memory[recordsAt:])
	found := Attached{Empty: empty}
	if empty == "" {
		found.Kept, found.Dropped = t.restore(now)
	}
	return found, nil
}

// readHeader takes the seed over if the file is one of this table's. Else it
// returns why not.
func (t *Table) readHeader(f *os.File, size, want int64) (empty string, err error) {
	if size == 0 {
		return "the file is new", nil
	}
	var is [headerLen]byte
	if n, err := f.ReadAt(is[:], 0); n < headerLen {
		if size < headerLen {
			return "the file is too short", nil
		}
		return "", fmt.Errorf("read header: %w", err)
	}
	ours, err := header(t.capacity, &seed{})
	if err != nil {
		return "", err
	}
	o := binary.NativeEndian
	switch {
	case string(is[0:8]) != fileMagic:
		return "the file does not hold sessions", nil
	case o.Uint32(is[80:]) != crc32.ChecksumIEEE(is[:80]):
		return "the header is damaged", nil
	case o.Uint32(is[8:]) != fileVersion:
		return fmt.Sprintf("the file is of version %d, not %d", o.Uint32(is[8:]), fileVersion), nil
	case !bytes.Equal(is[12:24], ours[12:24]):
		return "records have another layout", nil
	case !bytes.Equal(is[24:32], ours[24:32]):
		return fmt.Sprintf("the file is for %d sessions, not %d", o.Uint64(is[24:]), t.capacity), nil
	case !bytes.Equal(is[32:48], ours[32:48]):
		return "the machine was booted since", nil
	case size != want:
		return fmt.Sprintf("the file has %d bytes, not %d", size, want), nil
	}
	for i := range t.seed {
		t.seed[i] = o.Uint64(is[48+8*i:])
	}
	return "", nil
}

// format makes the file one without sessions. The header comes last: without
// one, the next Open starts empty again.
func (t *Table) format(f *os.File, size int64) error {
	var err error
	if t.seed, err = newSeed(); err != nil {
		return fmt.Errorf("seed of the hash: %w", err)
	}
	h, err := header(t.capacity, &t.seed)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("truncate: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = f.Truncate(size)
	}
	if err != nil {
		return fmt.Errorf("allocate %d bytes: %w", size, err)
	}
	if _, err := f.WriteAt(h[:], 0); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	return nil
}

func header(capacity uint32, s *seed) (h [headerLen]byte, err error) {
	o := binary.NativeEndian
	copy(h[0:8], fileMagic)
	o.PutUint32(h[8:], fileVersion)
	o.PutUint32(h[12:], RecordLen)
	o.PutUint64(h[16:], layoutHash())
	o.PutUint64(h[24:], uint64(capacity))
	boot, err := bootID()
	if err != nil {
		return h, err
	}
	copy(h[32:48], boot[:])
	for i, v := range s {
		o.PutUint64(h[48+8*i:], v)
	}
	o.PutUint32(h[80:], crc32.ChecksumIEEE(h[:80]))
	return h, nil
}

// layoutHash changes with any field of a record.
func layoutHash() uint64 {
	h := fnv.New64a()
	for _, part := range []reflect.Type{reflect.TypeFor[Session](), reflect.TypeFor[rest]()} {
		for i := range part.NumField() {
			f := part.Field(i)
			fmt.Fprintln(h, f.Name, f.Offset, f.Type)
		}
	}
	return h.Sum64()
}

// bootID returns a number that the kernel draws at each boot.
func bootID() (id [16]byte, err error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, fmt.Errorf("which boot this is: %w", err)
	}
	bare := strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")
	if n, err := hex.Decode(id[:], []byte(bare)[:min(len(bare), 32)]); err != nil || n != len(id) {
		return id, fmt.Errorf("boot_id %q is not 16 bytes in hexadecimal", text)
	}
	return id, nil
}
