package secret_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ticketproxy/secret"
)

const canary = "a-canary-in-the-mine"

// A holder has secrets in exported fields, and in an unexported one, on which fmt
// calls no methods.
type holder struct {
	Public  secret.String
	private secret.String
	Pointer *secret.String
	List    []secret.String
	Map     map[string]secret.String
}

func TestNoPrinterShowsASecret(t *testing.T) {
	t.Parallel()
	s := secret.New(canary)
	h := holder{s, s, &s, []secret.String{s}, map[string]secret.String{"a": s}}
	var output strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t", "%10.3s"} {
		fmt.Fprintf(&output, verb, s)
		fmt.Fprintf(&output, verb, &s)
		fmt.Fprintf(&output, verb, h)
		fmt.Fprintf(&output, verb, &h)
	}
	fmt.Fprintln(&output, s, h, errors.Join(fmt.Errorf("%w: %v", errors.New("x"), h)), string(fmt.Append(nil, h)))
	for _, v := range []any{s, h, map[string]any{"h": h}} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		output.Write(data)
	}
	slog.New(slog.NewTextHandler(&output, nil)).Info("x", "s", s, "h", h)
	slog.New(slog.NewJSONHandler(&output, nil)).Info("x", "s", s, "h", h)
	for _, encoder := range []zapcore.Encoder{zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.NewConsoleEncoder(zapcore.EncoderConfig{})} {
		log := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&output), zapcore.DebugLevel))
		log.Info("x", zap.Any("s", s), zap.Any("h", h), zap.Stringer("t", s), zap.Reflect("r", h), zap.Any("l", h.List))
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), canary[:8]} {
		if strings.Contains(output.String(), form) {
			t.Errorf("%q is shown in %s", form, output.String())
		}
	}
	if n := strings.Count(output.String(), secret.Redacted); n < 30 {
		t.Errorf("only %d times redacted", n)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	var zero, read secret.String
	s := secret.New(canary)
	if s.Reveal() != canary || zero.Reveal() != "" || secret.New("").Reveal() != "" {
		t.Error("Reveal does not give the text")
	}
	if s.IsZero() || !zero.IsZero() || !secret.New("").IsZero() {
		t.Error("IsZero")
	}
	if !s.Equal(secret.New(canary)) || s.Equal(zero) || !zero.Equal(secret.New("")) || s.Equal(secret.New(canary+"x")) {
		t.Error("Equal")
	}
	if zero.Hash() != "" || len(s.Hash()) != 64 || s.Hash() != secret.New(canary).Hash() {
		t.Error("Hash")
	}
	if fmt.Sprint(zero) != "" {
		t.Errorf("the empty secret prints as %v", zero)
	}
	if err := read.UnmarshalText([]byte(canary)); err != nil || !read.Equal(s) {
		t.Error("UnmarshalText")
	}
}
