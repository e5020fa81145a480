package store

// A HintError is an error that a person can do something about.
type HintError struct {
	Err  error
	Cure string // what to do, as an order
}

func (e *HintError) Error() string { return e.Err.Error() }

func (e *HintError) Unwrap() error { return e.Err }

// Hint returns the cure.
func (e *HintError) Hint() string { return e.Cure }
