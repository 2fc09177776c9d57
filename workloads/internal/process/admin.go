package process

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/certquake/certquake/harness/record"
)

// commandMax bounds the body of a command, in bytes.
const commandMax = 1 << 16

// The refusals of commands.
var (
	errEnding    = errors.New("the process is ending")
	errOtherBase = errors.New("the process has begun with another base")
	errNoBase    = errors.New("base is missing")
)

// handler is the admin port.
func (p *process) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+PathMetrics,
		promhttp.HandlerFor(p.kit.Metrics.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET "+PathHealth, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET "+PathReady, func(w http.ResponseWriter, _ *http.Request) {
		if !p.ready.Load() {
			http.Error(w, "not listening for "+p.settings.Others, http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET "+PathStatus, func(w http.ResponseWriter, _ *http.Request) { p.answer(w) })
	mux.HandleFunc("POST "+PathBegin, command(p, p.obeyBegin))
	mux.HandleFunc("POST "+PathClock, command(p, p.obeyClock))
	mux.HandleFunc("POST "+PathRestart, p.restart)
	return mux
}

// command decodes a command, has it obeyed and answers with the Status after it.
func command[C any](p *process, obey func(C) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		order, err := decodeCommand[C](w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := obey(order); err != nil {
			http.Error(w, err.Error(), statusOf(err))
			return
		}
		p.answer(w)
	}
}

func decodeCommand[C any](w http.ResponseWriter, r *http.Request) (order C, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, commandMax))
	if err != nil {
		return order, err
	}
	return order, DecodeStrictly(body, &order)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errNoBase):
		return http.StatusBadRequest
	case errors.Is(err, errOtherBase):
		return http.StatusConflict
	case errors.Is(err, errEnding):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// answer writes the Status, with its length: a process that exits right after it could not end a
// chunked one. A connection that is gone takes no answer.
func (p *process) answer(w http.ResponseWriter) {
	text, err := json.Marshal(p.status())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

func (p *process) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{
		Boot: p.boot, Begun: p.hasBegun(), Base: p.state.Base, Ready: p.ready.Load(),
		Skew: time.Duration(p.kit.Clock.skew.Load()), Rows: p.kit.Rows.sent(),
		Now: time.Now(),
	}
}

// obeyBegin begins unless the process has begun. What is to be known after a restart is saved
// first.
func (p *process) obeyBegin(b Begin) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case b.Base.IsZero():
		return errNoBase
	case p.hasBegun() && p.state.Base.Equal(b.Base):
		return nil
	case p.hasBegun():
		return errOtherBase
	case p.ending:
		return errEnding
	}
	state := saved{Base: b.Base, Skew: b.Skew}
	if err := state.save(p.settings.State); err != nil {
		return err
	}
	p.begin(state, b.Fresh)
	return nil
}

// obeyClock sets the process clock off, and tells of it if that is a change.
func (p *process) obeyClock(c ClockOrder) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Duration(p.kit.Clock.skew.Load()) == c.Skew {
		return nil
	}
	if p.hasBegun() {
		p.state.Skew = c.Skew
		if err := p.state.save(p.settings.State); err != nil {
			return err
		}
	}
	p.setSkew(c.Skew)
	if p.hasBegun() {
		now := max(p.kit.Clock.Offset(), 0)
		p.kit.Rows.Tell(Row{Span: record.Span{
			Kind: record.Clock, From: now, To: now, Source: p.settings.Pod, Outcome: record.OK,
			Skew: c.Skew,
		}})
	}
	return nil
}

// restart ends the process after the answer. To be killed is to be killed: nothing is flushed and
// no connection is closed but by the kernel.
func (p *process) restart(w http.ResponseWriter, r *http.Request) {
	order, err := decodeCommand[Restart](w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if order.Boot != "" && order.Boot != p.boot {
		p.answer(w)
		return
	}
	p.mu.Lock()
	p.again, p.down = true, order.Down
	if order.Kill {
		err = p.keep()
	}
	p.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	w.Header().Set("Connection", "close")
	p.answer(w)
	_ = http.NewResponseController(w).Flush()
	if order.Kill {
		p.exit(killed)
		return
	}
	p.end()
}
