package file

import (
	"fmt"
	"io/fs"
	"syscall"

	"ticketproxy/hint"
	"ticketproxy/tokens"
)

// exclusive refuses a directory that does not belong to user uid, or that another user can
// write to. This holds for root, too, because the owner of a directory can replace its
// files.
//
// No hint names a path below such a directory, because another user could create or replace
// the files there.
func exclusive(path string, info fs.FileInfo, uid int) error {
	nameAnother := fmt.Sprintf("name a directory that user %d owns and nobody else can write to; "+
		"one that does not exist is created so (on a Kubernetes volume, name a subdirectory)", uid)
	othersWrite := info.Mode().Perm()&0o022 != 0
	switch owner := ownerOf(info); {
	case owner != uid && othersWrite:
		return hint.With(ownedByAnother(path, owner, uid), nameAnother)
	case owner != uid:
		advice := fmt.Sprintf("if it is for ticketproxy alone, chown %d %s; otherwise %s", uid, path, nameAnother)
		return hint.With(ownedByAnother(path, owner, uid), advice)
	case othersWrite && info.Mode()&fs.ModeSticky != 0: // shared on purpose, like /tmp
		return hint.With(shared(path, info), nameAnother)
	case othersWrite:
		advice := fmt.Sprintf("if it is for ticketproxy alone, chmod 700 %s; otherwise %s", path, nameAnother)
		return hint.With(shared(path, info), advice)
	}
	return nil
}

// private refuses a file that does not belong to user uid, or that another user can read
// or change.
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

// ownLock refuses a lock file that is not regular, or that does not belong to user uid:
// its owner could hold the lock forever.
func ownLock(path string, info fs.FileInfo, uid int) error {
	if !info.Mode().IsRegular() {
		return hint.With(fmt.Errorf("%s is not a regular file", path), "move it away")
	}
	if owner := ownerOf(info); owner != uid {
		return hint.With(ownedByAnother(path, owner, uid), "stop the programs that use it, then rm "+path)
	}
	return nil
}

// trustedLink refuses a symbolic link to the directory that neither user uid nor root owns,
// because its owner chooses the directory.
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

// damage returns a tokens.ErrDamaged with a hint.
func damage(advice, format string, args ...any) error {
	return hint.With(fmt.Errorf("%w: %w", fmt.Errorf(format, args...), tokens.ErrDamaged), advice)
}
