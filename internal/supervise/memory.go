package supervise

import (
	"os"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// The supervisor is what gives the uplink back, so the kernel is to leave it
// alone when memory is short: its child goes first, and its pages stay.

// margin is how much sooner the kernel kills a child for want of memory than
// its supervisor (proc_pid_oom_score_adj(5): from -1000 to 1000).
const margin = 100

// protect makes it unlikely that the kernel takes the supervisor when memory
// is short, and returns what oom_score_adj it was given.
func protect(log *zap.Logger) int {
	was, err := readOOM("self")
	if err == nil {
		err = writeOOM("self", max(was-margin, -1000))
	}
	if err != nil {
		log.Debug("the supervisor is not protected from the OOM killer, which needs CAP_SYS_RESOURCE", zap.Error(err))
	}
	// What has been in use stays in memory, so that nothing has to be read from
	// a disk when the uplink must be given back within a second. Only what is
	// touched is locked: Go reserves much more address space than it uses.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		log.Debug("the supervisor may be swapped out: locking its memory needs CAP_IPC_LOCK", zap.Error(err))
	}
	return was
}

// expose makes a child what the kernel takes first of the two.
func (s *supervisor) expose(pid int) {
	if err := writeOOM(strconv.Itoa(pid), min(s.oom+margin, 1000)); err != nil {
		s.Log.Debug("oom_score_adj of the data plane", zap.Error(err))
	}
}

// base returns the oom_score_adj that a supervisor was given from what its
// child has, or the other value if that can't be read.
func base(child, otherwise int) int {
	if has, err := readOOM(strconv.Itoa(child)); err == nil {
		return has - margin
	}
	return otherwise
}

func oomPath(pid string) string { return "/proc/" + pid + "/oom_score_adj" }

func readOOM(pid string) (int, error) {
	text, err := os.ReadFile(oomPath(pid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func writeOOM(pid string, value int) error {
	return os.WriteFile(oomPath(pid), strconv.AppendInt(nil, int64(value), 10), 0)
}
