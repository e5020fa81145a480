package sealed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"ticketproxy/tokens/agekey"
)

// A Config says by which keys a Keyring seals and opens. The zero Config has none.
type Config struct {
	// Path is an identity file; "" when there is none. Tokens are sealed to its first
	// identity, and opened with any.
	Path string
	// Read reads the file at Path.
	Read func(path string) (agekey.Keys, error)
	// Recipient is what a process without an identity seals to. It reads sealed records
	// without their tokens. It is not used when there is a Path.
	Recipient agekey.Recipient
	// Changed is called when another content of the file was taken up, and when it could
	// not be, with the reason. It returns at once. It may be nil.
	Changed func(error)
}

// A Keyring seals and opens the tokens of all accounts. It looks at its file whenever it is
// used, and takes up a change. A file that cannot be used leaves the keys as they were. Safe
// for concurrent use.
type Keyring struct {
	config Config

	mu      sync.Mutex
	keys    agekey.Keys
	read    fs.FileInfo // of the file when it was read last; nil when it is to be read again
	problem error       // why the file, as it is now, is not used
}

// NewKeyring reads the identity file.
func NewKeyring(c Config) (*Keyring, error) {
	k := &Keyring{config: c}
	if c.Path == "" {
		return k, nil
	}
	k.updateLocked()
	return k, k.problem
}

// Problem returns why the identity file, as it was when the keyring was last used, could not
// be taken up; nil when it was.
func (k *Keyring) Problem() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.problem
}

// Recipient returns to whom records are encrypted; the zero Recipient when they are in clear.
func (k *Keyring) Recipient() agekey.Recipient {
	_, recipient := k.current()
	return recipient
}

// Opens reports whether the keyring has the identity of a recipient.
func (k *Keyring) Opens(recipient string) bool {
	keys, _ := k.current()
	r, err := agekey.ParseRecipient(recipient)
	return err == nil && keys.Has(r)
}

// current returns the identities, and the recipient to seal to.
func (k *Keyring) current() (agekey.Keys, agekey.Recipient) {
	if k.config.Path == "" {
		return agekey.Keys{}, k.config.Recipient
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if news := k.updateLocked(); news && k.config.Changed != nil {
		k.config.Changed(k.problem)
	}
	return k.keys, k.keys.Recipient()
}

// updateLocked reads the file if it is another one than before. It reports whether there is
// something new to say of it.
func (k *Keyring) updateLocked() (news bool) {
	info, err := os.Stat(k.config.Path)
	if err != nil {
		news = k.problem == nil || k.read != nil
		k.read, k.problem = nil, errors.New("the identity file cannot be found")
		return news
	}
	if k.read != nil && os.SameFile(info, k.read) && info.ModTime().Equal(k.read.ModTime()) &&
		info.Size() == k.read.Size() {
		return false
	}
	k.read = info
	keys, err := k.config.Read(k.config.Path)
	if err != nil {
		k.problem = fmt.Errorf("reading identity file: %w", err)
		return true
	}
	k.keys, k.problem = keys, nil
	return true
}

// sealsOnly reports whether the keyring has a recipient, and will never have an identity.
func (k *Keyring) sealsOnly() bool { return k.config.Path == "" && !k.config.Recipient.IsZero() }
