package command

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Version prints the version, and the revision that it was built from.
func Version(_ context.Context, env *Env, args []string) error {
	if err := noArguments(env, "version", args); err != nil {
		return err
	}
	line := fmt.Sprintf("ticketproxy %s %s %s/%s", env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if info, ok := debug.ReadBuildInfo(); ok {
		line += revision(info)
	}
	fmt.Fprintln(env.Stdout, line)
	return nil
}

// revision names the commit of a build, as go version -m knows it; "" when it does not.
func revision(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if settings["vcs.revision"] == "" {
		return ""
	}
	words := []string{"", "revision", settings["vcs.revision"], settings["vcs.time"]}
	if settings["vcs.modified"] == "true" {
		words = append(words, "with changes")
	}
	return strings.Join(words, " ")
}
