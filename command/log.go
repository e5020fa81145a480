package command

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ticketproxy/config"
)

// logger returns the program's logger, which writes to stderr.
func (e *Env) logger(c config.Config) *zap.Logger {
	level, err := zapcore.ParseLevel(c.LogLevel)
	if err != nil {
		panic(err) // config accepts only valid levels
	}
	format := zap.NewProductionEncoderConfig()
	format.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	format.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(format)
	if c.LogFormat == "console" || c.LogFormat == "" && e.Terminal {
		format.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(format)
	}
	out := zapcore.Lock(zapcore.AddSync(printableWriter{e.Stderr}))
	return zap.New(zapcore.NewCore(encoder, out, level), zap.ErrorOutput(zapcore.AddSync(io.Discard)))
}
