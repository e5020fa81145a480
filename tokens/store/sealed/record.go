package sealed

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"ticketproxy/hint"
	"ticketproxy/secret"
	"ticketproxy/tokens"
	"ticketproxy/tokens/agekey"
)

// A content is what an age file in a record holds.
type content struct {
	Account string `json:"account"`
	Field   string `json:"field"`
	Token   string `json:"token"`
}

// A field is a token of a grant.
type field struct {
	name  string
	token *secret.String
}

// fields returns the tokens of a grant that are encrypted.
func fields(g *tokens.Grant) []field {
	return []field{
		{"access_token", &g.AccessToken},
		{"refresh_token", &g.RefreshToken},
		{"fallback_refresh_token", &g.Fallback},
	}
}

// Seal returns the account's record with its tokens encrypted. Without a recipient, and
// without a token, the record is in clear.
func (k *Keyring) Seal(account string, r tokens.Record) (tokens.Record, error) {
	_, recipient := k.current()
	r.Recipient = ""
	if recipient.IsZero() {
		return r, nil
	}
	for _, f := range fields(&r.Grant) {
		if f.token.IsZero() {
			continue
		}
		plain, err := json.Marshal(content{account, f.name, f.token.Reveal()})
		if err != nil {
			return tokens.Record{}, fmt.Errorf("sealing record: %w", err)
		}
		encrypted, err := recipient.Encrypt(plain)
		if err != nil {
			return tokens.Record{}, fmt.Errorf("sealing record: %w", err)
		}
		*f.token = secret.New(base64.StdEncoding.EncodeToString(encrypted))
		r.Recipient = recipient.String()
	}
	return r, nil
}

// Open returns the account's record with its tokens in clear, as far as it has any. Its
// Recipient stays. The error is tokens.ErrSealed, with a hint, when the keyring cannot open
// the record. A keyring that has a recipient alone returns the record without its tokens.
func (k *Keyring) Open(account string, r tokens.Record) (tokens.Record, error) {
	if r.Recipient == "" {
		return r, nil
	}
	keys, _ := k.current()
	for _, f := range fields(&r.Grant) {
		switch {
		case f.token.IsZero():
		case k.sealsOnly():
			*f.token = secret.String{}
		default:
			token, err := open(keys, f.token.Reveal(), content{Account: account, Field: f.name})
			if err != nil {
				return tokens.Record{}, k.explain(account, r.Recipient, err)
			}
			*f.token = token
		}
	}
	return r, nil
}

// open decrypts a token, which must be that of the account and field of want.
func open(keys agekey.Keys, text string, want content) (secret.String, error) {
	encrypted, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return secret.String{}, errors.New("not base64")
	}
	plain, err := keys.Decrypt(encrypted)
	if err != nil {
		return secret.String{}, err
	}
	var c content
	if err := json.Unmarshal(plain, &c); err != nil || c.Token == "" {
		return secret.String{}, errors.New("not a token")
	}
	if c.Account != want.Account || c.Field != want.Field {
		return secret.String{}, &strangerError{c}
	}
	return secret.New(c.Token), nil
}

// A strangerError is a token of another account or field than that in which it was found.
type strangerError struct{ content }

func (e *strangerError) Error() string {
	return fmt.Sprintf("it is the %s of account %q", e.Field, e.Account)
}

// explain says why a record cannot be opened, and what to do.
func (k *Keyring) explain(account, recipient string, err error) error {
	recipient = agekey.Short(recipient)
	if !errors.Is(err, agekey.ErrNoMatch) {
		return hint.With(
			fmt.Errorf("%w: its tokens are encrypted to %s: %w", tokens.ErrSealed, recipient, err),
			"put a backup of the record in its place; or remove the record, and run: ticketproxy login "+account,
		)
	}
	if k.config.Path == "" {
		return hint.With(
			fmt.Errorf("%w: its tokens are encrypted to %s, and there is no key", tokens.ErrSealed, recipient),
			"set TICKETPROXY_STATE_KEY_FILE to the file with the identity of "+recipient,
		)
	}
	return hint.With(
		fmt.Errorf("%w: its tokens are encrypted to %s, which is no identity of the key file",
			tokens.ErrSealed, recipient),
		"add the identity of "+recipient+" to the file of TICKETPROXY_STATE_KEY_FILE",
	)
}
