package config

import (
	"bytes"
	"errors"
	"maps"
	"slices"
)

// Files is a configuration whose files are read again while the program runs. Not safe for
// concurrent use.
type Files struct {
	environment Environment
	config      Config
	used        map[string][]byte // what the files held that config is made of, by their paths
}

// Open parses like Parse, and remembers what the files hold.
func Open(environment Environment) (*Files, error) {
	f := &Files{environment: environment, used: map[string][]byte{}}
	if f.environment.ReadFile == nil {
		f.environment.ReadFile = readFile
	}
	first := f.environment
	first.ReadFile = func(path string) ([]byte, error) {
		content, err := f.environment.ReadFile(path)
		if err == nil {
			f.used[path] = content
		}
		return content, err
	}
	var err error
	f.config, err = Parse(first)
	return f, err
}

// Config returns the configuration that is in use.
func (f *Files) Config() Config { return f.config }

// Reread reads the files again. It takes up each on its own: one that cannot be used any more
// stays as it was, and the mistakes say why. It does not read CALLERS_FILE, for which
// [Config.ReadCallers] is there.
func (f *Files) Reread() (Config, []Mistake) {
	var mistakes []Mistake
	for _, path := range slices.Sorted(maps.Keys(f.used)) {
		if path == f.config.CallersFile {
			continue
		}
		content, err := f.environment.ReadFile(path)
		if err == nil && bytes.Equal(content, f.used[path]) {
			continue
		}
		c, wrong := f.parseWith(path, content, err)
		if wrong != nil {
			mistakes = append(mistakes, wrong.Mistakes...)
			continue
		}
		f.config, f.used[path] = c, content
	}
	return f.config, mistakes
}

// parseWith parses the environment when one file has another content, or cannot be read.
func (f *Files) parseWith(path string, content []byte, err error) (Config, *Error) {
	next := f.environment
	next.ReadFile = func(other string) ([]byte, error) {
		if other == path {
			return content, err
		}
		if used, ok := f.used[other]; ok {
			return used, nil
		}
		return f.environment.ReadFile(other)
	}
	c, err := Parse(next)
	wrong, _ := errors.AsType[*Error](err)
	return c, wrong
}
