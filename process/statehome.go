package process

import (
	"os"
	"path/filepath"
	"syscall"
)

// StateHome is where the XDG base directory specification puts the state of
// user uid; "" when there is no such place. Below a HOME that does not exist or
// that another user owns, as under sudo, nothing is created: nobody would look
// for the state there, or its owner would decide what is in it.
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
