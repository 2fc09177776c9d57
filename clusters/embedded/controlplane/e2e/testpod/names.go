package main

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// lookupMax bounds one lookup, followMax all of a name that is followed.
const (
	lookupMax = 10 * time.Second
	followMax = 2 * time.Minute
)

// Lookup is the answer to one question for a name.
type Lookup struct {
	Addresses []string      `json:"addresses"`
	Error     string        `json:"error,omitempty"`
	Took      time.Duration `json:"took_ns"`
	At        time.Time     `json:"at"`
}

// nameWatch asks for one name again and again, and keeps what changed.
type nameWatch struct {
	mu      sync.Mutex    // guards what follows
	Asked   int           `json:"asked"`
	Failed  int           `json:"failed"`
	Slowest time.Duration `json:"slowest_ns"`
	Changes []Lookup      `json:"changes"` // the first answer, and each that differs
}

func resolve(ctx context.Context, network, name string) Lookup {
	ctx, cancel := context.WithTimeout(ctx, lookupMax)
	defer cancel()
	resolver := net.Resolver{PreferGo: true}
	began := time.Now()
	found, err := resolver.LookupNetIP(ctx, network, name)
	answer := Lookup{At: time.Now(), Took: time.Since(began)}
	for _, each := range found {
		answer.Addresses = append(answer.Addresses, each.Unmap().String())
	}
	slices.Sort(answer.Addresses)
	if err != nil {
		answer.Error = err.Error()
	}
	return answer
}

func (w *nameWatch) follow(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, followMax)
	defer cancel()
	w.mu.Lock()
	w.Asked, w.Failed, w.Slowest, w.Changes = 0, 0, 0, nil
	w.mu.Unlock()
	for ctx.Err() == nil {
		w.note(resolve(ctx, "ip4", name))
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *nameWatch) note(answer Lookup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Asked++
	w.Slowest = max(w.Slowest, answer.Took)
	if answer.Error != "" {
		w.Failed++
	}
	last := len(w.Changes) - 1
	if last < 0 || !slices.Equal(w.Changes[last].Addresses, answer.Addresses) {
		w.Changes = append(w.Changes, answer)
	}
}
