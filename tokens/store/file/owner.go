package file

import (
	"fmt"
	"io/fs"
	"syscall"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// exclusive refuses a directory that does not belong to user uid, or that
// another user can write to. Root is no exception: the owner of a directory
// decides what is in it, whoever reads it.
//
// No hint names a path below such a directory: there, another user can make or
// replace what root or uid then takes for its own.
func exclusive(path string, info fs.FileInfo, uid int) error {
	another := fmt.Sprintf("name a directory that user %d owns and nobody else can write to; "+
		"one that does not exist is created so (on a Kubernetes volume, name a subdirectory)", uid)
	others := info.Mode().Perm()&0o022 != 0
	switch owner := ownerOf(info); {
	case owner != uid && others:
		return hint.With(ownedByAnother(path, owner, uid), another)
	case owner != uid:
		advice := fmt.Sprintf("if it is for ticketproxy alone, chown %d %s; otherwise %s", uid, path, another)
		return hint.With(ownedByAnother(path, owner, uid), advice)
	case others && info.Mode()&fs.ModeSticky != 0: // shared on purpose, like /tmp
		return hint.With(shared(path, info), another)
	case others:
		advice := fmt.Sprintf("if it is for ticketproxy alone, chmod 700 %s; otherwise %s", path, another)
		return hint.With(shared(path, info), advice)
	}
	return nil
}

// private refuses a file that does not belong to user uid, or that another
// user can read or change.
func private(path string, info fs.FileInfo, uid int) error {
	if !info.Mode().IsRegular() {
		return damage("move it away", "%s is not a regular file", path)
	}
	if owner := ownerOf(info); owner != uid {
		return damage(fmt.Sprintf("if you trust its content, chown %d %s; otherwise move it away", uid, path),
			"%w", ownedByAnother(path, owner, uid))
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return damage("chmod 600 "+path, "%s can be read or changed by others (mode %04o)", path, mode)
	}
	return nil
}

// ownLock refuses a lock file that does not belong to user uid, who could keep
// the lock, or is no regular file.
func ownLock(path string, info fs.FileInfo, uid int) error {
	if !info.Mode().IsRegular() {
		return hint.With(fmt.Errorf("%s is not a regular file", path), "move it away")
	}
	if owner := ownerOf(info); owner != uid {
		return hint.With(ownedByAnother(path, owner, uid), "stop the programs that use it, then rm "+path)
	}
	return nil
}

// trustedLink refuses a symbolic link to the directory that neither user uid
// nor root has made: its owner chooses the directory.
func trustedLink(path string, info fs.FileInfo, uid int) error {
	owner := ownerOf(info)
	if info.Mode()&fs.ModeSymlink == 0 || owner == uid || owner == 0 {
		return nil
	}
	return hint.With(
		fmt.Errorf("%s is a symbolic link that belongs to user %d, and this process is user %d", path, owner, uid),
		"name the directory itself",
	)
}

func ownedByAnother(path string, owner, uid int) error {
	return fmt.Errorf("%s belongs to user %d, and this process is user %d", path, owner, uid)
}

func shared(path string, info fs.FileInfo) error {
	return fmt.Errorf("%s can be written to by others (mode %04o)", path, info.Mode().Perm())
}

// ownerOf returns the id of the user who owns a file.
func ownerOf(info fs.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// damage is an error, with its advice, of a record that is of no use to anybody.
func damage(advice, format string, args ...any) error {
	return hint.With(fmt.Errorf("%w: %w", fmt.Errorf(format, args...), tokens.ErrDamaged), advice)
}
