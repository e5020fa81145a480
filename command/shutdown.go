package command

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
)

// Shutdown asks a running instance to drain and stop.
func Shutdown(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(env, "shutdown", args); err != nil {
		return err
	}
	instance, err := env.adminClient()
	if err != nil {
		return err
	}
	code, body, err := instance.ask(ctx, http.MethodPost, "/quit")
	if err != nil {
		return err
	}
	if code != http.StatusAccepted {
		return fmt.Errorf("asking the instance at %s to stop: it answered %d: %s",
			instance.address, code, bytes.TrimSpace(body))
	}
	return nil
}
