package process

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// OnJournal reports whether a file is the journal's stream that JOURNAL_STREAM names
// (systemd.exec(5)).
func OnJournal(f *os.File, journalStream string) bool {
	info, err := f.Stat()
	if err != nil || journalStream == "" {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && journalStream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// A Notifier tells systemd about the service (sd_notify(3)). The methods of a Notifier do
// nothing where NOTIFY_SOCKET is not set. Errors are ignored, as sd_notify(3) recommends.
type Notifier struct {
	socket   string
	watchdog time.Duration // 0 when systemd expects no keep-alives
}

// NewNotifier returns the Notifier that the environment describes.
func NewNotifier(getenv func(name string) string, pid int) *Notifier {
	n := &Notifier{socket: getenv("NOTIFY_SOCKET")}
	if strings.HasPrefix(n.socket, "@") { // an abstract socket
		n.socket = "\x00" + n.socket[1:]
	}
	if of := getenv("WATCHDOG_PID"); of == "" || of == strconv.Itoa(pid) {
		if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n
}

// Ready says that the service has started.
func (n *Notifier) Ready() { n.send("READY=1") }

// Stopping says that the service drains.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// KeepAlive tells the watchdog twice in each of its intervals that the service is alive,
// until done is closed.
func (n *Notifier) KeepAlive(done <-chan struct{}) {
	if n.watchdog <= 0 {
		return
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			n.send("WATCHDOG=1")
		}
	}
}

func (n *Notifier) send(state string) {
	if n.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte(state))
}
