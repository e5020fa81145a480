package tokens

import (
	"errors"

	"go.uber.org/zap"
)

// hintOf is the log's field for what a person can do about an error; none where the error does
// not know. A Store adds a method Hint to such an error.
func hintOf(err error) zap.Field {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return zap.String("hint", h.Hint())
	}
	return zap.Skip()
}
