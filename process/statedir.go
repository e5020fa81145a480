package process

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// StateDir returns the directory for the program's state: the first one of systemd's
// STATE_DIRECTORY (systemd.exec(5)), or else the one of user uid (XDG base directory
// specification); "" when there is none. It returns "" for a HOME that does not exist,
// where nobody would look for the state. It returns "" for a HOME that another user owns,
// as under sudo, because its owner could replace the state.
func StateDir(getenv func(name string) string, uid int) string {
	const name = "ticketproxy"
	if dir, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if dir := getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, name)
	}
	home := getenv("HOME")
	if home == "" || home == "/" {
		return ""
	}
	info, err := os.Stat(home)
	if err != nil || !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
		return ""
	}
	return filepath.Join(home, ".local", "state", name)
}
