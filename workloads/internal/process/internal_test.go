package process

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
)

// stuck is a standard output that nobody reads until it is released.
type stuck struct {
	release chan struct{}
	mu      sync.Mutex
	seqs    []uint64
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	row, err := DecodeRow(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seqs = append(s.seqs, row.Seq)
	return len(p), err
}

// Rows beyond the bound are dropped, and the numbers show it.
func TestStuckOutputShowsAGap(t *testing.T) {
	out := &stuck{release: make(chan struct{})}
	m := newMetrics()
	r := newRows(out, newBoot(), time.Hour, slog.New(slog.DiscardHandler), m)
	row := Row{Span: record.Span{Kind: record.Up}}
	const extra = 50
	for range rowsMax + extra {
		r.Put(row)
	}
	close(out.release)
	require.Eventually(t, func() bool { return r.sent() >= rowsMax },
		20*time.Second, time.Millisecond)
	r.Put(row)
	require.True(t, r.close())
	gaps := 0
	for i := 1; i < len(out.seqs); i++ {
		if out.seqs[i] != out.seqs[i-1]+1 {
			gaps++
		}
	}
	assert.Equal(t, uint64(1), out.seqs[0])
	assert.Equal(t, uint64(rowsMax+extra+1), out.seqs[len(out.seqs)-1])
	assert.Equal(t, 1, gaps)
	assert.Less(t, len(out.seqs), rowsMax+extra)
}

// A row that standard output refuses is lost alone.
func TestRowTooLongIsDropped(t *testing.T) {
	out := &stuck{release: make(chan struct{})}
	close(out.release)
	r := newRows(out, newBoot(), time.Hour, slog.New(slog.DiscardHandler),
		newMetrics())
	r.Put(Row{Span: record.Span{Kind: record.Up, Detail: strings.Repeat("x", lineMax)}})
	r.Put(Row{Span: record.Span{Kind: record.Up}})
	require.True(t, r.close())
	assert.Equal(t, []uint64{2}, out.seqs)
}

// The answer goes out before the process does, and no word more.
func TestKillExitsAfterTheAnswer(t *testing.T) {
	code := make(chan int, 1)
	p := newProcess(Settings{
		Pod: "a", Mount: t.TempDir(), State: t.TempDir(), Horizon: time.Hour,
	}, io.Discard, io.Discard)
	defer p.kit.Rows.close()
	p.exit = func(c int) { code <- c }
	answer := httptest.NewRecorder()
	p.handler().ServeHTTP(answer, httptest.NewRequest(http.MethodPost, PathRestart,
		strings.NewReader(`{"kill": true, "down_ns": 3000000000}`)))
	assert.Equal(t, http.StatusOK, answer.Code)
	assert.True(t, answer.Flushed)
	assert.Equal(t, 137, <-code)
	state, err := load(p.settings.State)
	require.NoError(t, err)
	assert.InDelta(t, 3, time.Until(state.DownUntil).Seconds(), 2)
}

// A command that is repeated since its answer was lost does not end the successor.
func TestRestartOfAnotherProcess(t *testing.T) {
	p := newProcess(Settings{
		Pod: "a", Mount: t.TempDir(), State: t.TempDir(), Horizon: time.Hour,
	}, io.Discard, io.Discard)
	defer p.kit.Rows.close()
	p.exit = func(int) { t.Error("the process ended") }
	answer := httptest.NewRecorder()
	p.handler().ServeHTTP(answer, httptest.NewRequest(http.MethodPost, PathRestart,
		strings.NewReader(`{"boot": "0123456789abcdef", "kill": true}`)))
	assert.Equal(t, http.StatusOK, answer.Code)
	assert.Contains(t, answer.Body.String(), p.boot)
	assert.False(t, p.again)
}

// The clock that a process tells is its node's, however far its own is set off.
func TestStatusTellsTheNodesClock(t *testing.T) {
	p := newProcess(Settings{
		Pod: "a", Mount: t.TempDir(), Horizon: time.Hour,
	}, io.Discard, io.Discard)
	defer p.kit.Rows.close()
	p.setSkew(time.Hour)
	before := time.Now().Round(0)
	answer := httptest.NewRecorder()
	p.handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, PathStatus, nil))
	after := time.Now().Round(0)
	var got Status
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &got))
	assert.Equal(t, time.Hour, got.Skew)
	assert.False(t, got.Now.Before(before), "%s is before %s", got.Now, before)
	assert.False(t, got.Now.After(after), "%s is after %s", got.Now, after)
}

func TestCommandsThatAreRefused(t *testing.T) {
	p := newProcess(Settings{
		Pod: "a", Mount: t.TempDir(), Horizon: time.Hour,
	}, io.Discard, io.Discard)
	defer p.kit.Rows.close()
	for _, test := range []struct {
		path, body string
		code       int
	}{
		{PathBegin, `{}`, http.StatusBadRequest},
		{PathBegin, `{"bass": 1}`, http.StatusBadRequest},
		{PathBegin, `{"base": "2026-11-21T09:00:00Z"}`, http.StatusOK},
		{PathBegin, `{"base": "2026-11-21T09:00:00Z", "fresh": true}`, http.StatusOK},
		{PathBegin, `{"base": "2026-11-21T10:00:00Z"}`, http.StatusConflict},
		{PathClock, ``, http.StatusBadRequest},
		{PathStatus, `{}`, http.StatusMethodNotAllowed},
	} {
		answer := httptest.NewRecorder()
		p.handler().ServeHTTP(answer,
			httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(test.body)))
		assert.Equal(t, test.code, answer.Code, test)
	}
	assert.False(t, p.fresh, "the first beginning counts")
}

func TestNotConnected(t *testing.T) {
	dialing := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	for name, test := range map[string]struct {
		err  error
		want record.Outcome
		side record.Side
	}{
		"no such name": {
			dialing(&net.DNSError{IsNotFound: true}), record.Unreachable, record.Client,
		},
		"name server is slow":   {dialing(&net.DNSError{IsTimeout: true}), record.Timeout, ""},
		"name server is broken": {dialing(&net.DNSError{Err: "SERVFAIL"}), record.Other, ""},
		"refused":               {dialing(syscall.ECONNREFUSED), record.Unreachable, record.Client},
		"unroutable":            {dialing(syscall.EHOSTUNREACH), record.Unreachable, record.Client},
		"too late":              {dialing(context.DeadlineExceeded), record.Timeout, ""},
		"the end":               {dialing(context.Canceled), record.Canceled, ""},
		"no ports left":         {dialing(syscall.EADDRNOTAVAIL), record.Other, ""},
		"anything":              {errors.New("anything"), record.Other, ""},
	} {
		t.Run(name, func(t *testing.T) {
			outcome, side := NotConnected(test.err)
			assert.Equal(t, test.want, outcome)
			assert.Equal(t, test.side, side)
		})
	}
}

func TestDamagedStateIsNoBeginning(t *testing.T) {
	dir := t.TempDir()
	want := saved{
		Base: time.Date(2026, 11, 21, 9, 0, 0, 7, time.UTC), Skew: -time.Second, Read: "..1",
	}
	require.NoError(t, want.save(dir))
	got, err := load(dir)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	require.NoError(t, (saved{}).save(""), "no folder, nothing to do")
	_, err = load(t.TempDir())
	assert.NoError(t, err)
}
