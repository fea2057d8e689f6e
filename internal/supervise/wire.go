package supervise

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A wire carries words, and a descriptor with some of them. Each is a message:
// the socket keeps them apart (SOCK_SEQPACKET).
type wire struct{ conn *net.UnixConn }

// A message is a word, with the descriptor that came along or nil.
type message struct {
	word string
	file *os.File
}

// maxWord is the longest word in bytes.
const maxWord = 256

// newWire makes a wire of a socket, and takes the descriptor over.
func newWire(fd int) (wire, error) {
	return newWireOf(os.NewFile(uintptr(fd), "supervisor"))
}

// newWireOf makes a wire of a file, and closes that.
func newWireOf(file *os.File) (wire, error) {
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return wire{}, fmt.Errorf("supervise: %w", err)
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return wire{}, errors.Join(fmt.Errorf("supervise: %s is not a unix socket", file.Name()), conn.Close())
	}
	return wire{socket}, nil
}

// connected reports whether somebody holds the other end.
func (w wire) connected() (ok bool) {
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd)}}
		_, err := unix.Poll(poll, 0)
		ok = err == nil && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) == 0
	})
	return ok && err == nil
}

// send says a word, and sends a copy of the descriptor if there is one.
func (w wire) send(word string, file *os.File) error {
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	if _, _, err := w.conn.WriteMsgUnix([]byte(word), rights, nil); err != nil {
		return fmt.Errorf("supervise: say %s: %w", word, err)
	}
	return nil
}

// receive waits for the next message. It returns io.EOF when the other side has
// ended.
func (w wire) receive() (message, error) {
	var text [maxWord]byte
	rights := make([]byte, unix.CmsgSpace(4))
	n, r, _, _, err := w.conn.ReadMsgUnix(text[:], rights)
	if err != nil {
		return message{}, err
	}
	m := message{word: string(text[:n])}
	if r > 0 {
		m.file, err = descriptor(rights[:r])
	}
	if n == 0 && m.file == nil && err == nil {
		err = io.EOF
	}
	return m, err
}

func descriptor(rights []byte) (*os.File, error) {
	all, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(all) != 1 {
		return nil, fmt.Errorf("supervise: control message: %w", err)
	}
	fds, err := unix.ParseUnixRights(&all[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("supervise: control message: %w", err)
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "device"), nil
}
