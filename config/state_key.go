package config

import (
	"errors"

	"ticketproxy/tokens/agekey"
)

const hintForStateKey = "make one with age-keygen -o FILE: it has a line AGE-SECRET-KEY-1… for each identity, " +
	"besides comments; keys of SSH, plugins and passphrases are not known here"

// parseRecipient parses STATE_RECIPIENT. It shows no part of it, which may be an identity.
func parseRecipient(text string) (any, error) {
	recipient, err := agekey.ParseRecipient(text)
	if err != nil {
		return nil, &flaw{err.Error(), "write what age-keygen -y FILE prints for the identity file: age1…"}
	}
	return recipient, nil
}

// ReadStateKey reads the file of STATE_KEY_FILE. No error holds a part of the file or its
// path.
func ReadStateKey(path string) (agekey.Keys, error) { return readStateKey(readFile, path) }

func readStateKey(read func(string) ([]byte, error), path string) (agekey.Keys, error) {
	content, err := read(path)
	if err != nil {
		return agekey.Keys{}, errors.New(unreadable(err))
	}
	keys, err := agekey.Parse(string(content))
	if err != nil {
		return agekey.Keys{}, errors.New("names a file that is not one of age identities: " + err.Error())
	}
	return keys, nil
}

// stateKey checks the file of STATE_KEY_FILE, and that it can decrypt what is encrypted to
// STATE_RECIPIENT.
func (p *parser) stateKey(c *Config) {
	const variable, recipient = Prefix + "STATE_KEY_FILE", Prefix + "STATE_RECIPIENT"
	if c.StateKeyFile == "" {
		return
	}
	keys, err := readStateKey(p.readFile, c.StateKeyFile)
	if err != nil {
		p.report.add(variable, err.Error(), hintForStateKey)
		return
	}
	p.secretFiles = append(p.secretFiles, SecretFile{variable, c.StateKeyFile})
	if !c.StateRecipient.IsZero() && !keys.Has(c.StateRecipient) {
		p.report.add(recipient, "is the recipient of no identity in the file of STATE_KEY_FILE",
			"add its identity to that file; or leave out STATE_RECIPIENT, which only a login without the file needs")
	}
}
