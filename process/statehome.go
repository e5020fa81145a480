package process

import (
	"os"
	"path/filepath"
	"syscall"
)

// StateHome returns the directory for the state of user uid (XDG base directory
// specification), "" when there is none. It returns "" for a HOME that does not exist,
// where nobody would look for the state. It returns "" for a HOME that another user owns,
// as under sudo, because its owner could replace the state.
func StateHome(getenv func(name string) string, uid int) string {
	if dir := getenv("XDG_STATE_HOME"); dir != "" {
		return dir
	}
	home := getenv("HOME")
	if home == "" || home == "/" {
		return ""
	}
	info, err := os.Stat(home)
	if err != nil || !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
		return ""
	}
	return filepath.Join(home, ".local", "state")
}
