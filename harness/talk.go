package harness

import (
	"context"
	"fmt"
)

// talkKey is where a context holds its talk.
type talkKey struct{}

// WithTalk has Say hand what it says under the context to say, one line a call without its end.
// say may be called by several goroutines, and must not block for long.
func WithTalk(ctx context.Context, say func(line string)) context.Context {
	return context.WithValue(ctx, talkKey{}, say)
}

// Say tells people what long work is doing, such as bringing a cluster up. It does nothing without
// WithTalk.
func Say(ctx context.Context, format string, args ...any) {
	if say, ok := ctx.Value(talkKey{}).(func(string)); ok && say != nil {
		say(fmt.Sprintf(format, args...))
	}
}
