package bearer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
	"github.com/certquake/certquake/workloads/token"
)

// tickGap is the least time between two looks whether keys are to be fetched without a demand.
const tickGap = 100 * time.Millisecond

// fetches is the keys of a JWKS that the process holds, and the rows that tell of them. It
// implements token.Keys.
type fetches struct {
	config  *Config
	kit     *process.Kit
	metrics *metrics
	cache   *token.Cache
	fetch   token.Fetcher
	// answer is of the fetch under way, of which there is one at a time.
	answer answer
	// beginning is set while the process pretends that what it fetches it fetched before.
	beginning bool

	mu    sync.Mutex
	holds record.Generation
}

// answer is what an issuer said of itself beside its keys.
type answer struct {
	pod  string
	held record.Generation
}

// newFetches fetches nothing yet.
func newFetches(c *Config, kit *process.Kit, m *metrics) (*fetches, error) {
	f := &fetches{config: c, kit: kit, metrics: m}
	cache, err := token.NewCache(c.JWKS.Policy, f.fetchOnce)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	f.cache = cache
	client := &http.Client{Transport: listening{f, newTransport(one)}}
	f.fetch = token.NewFetcher(client, c.JWKS.Address, c.Token.Algorithm)
	return f, nil
}

// Set implements token.Keys. When keys are fetched is no matter of the clock that tokens are judged
// by, however far that is set off.
func (f *fetches) Set(ctx context.Context, _ time.Time, kid string) (*token.Set, error) {
	return f.cache.Set(ctx, time.Now(), kid)
}

// begin fetches the keys as ones that a process has had for KeysAge at offset 0.
func (f *fetches) begin(ctx context.Context) {
	f.beginning = true
	defer func() { f.beginning = false }()
	_, _ = f.cache.Set(ctx, time.Now().Add(-f.config.KeysAge), "") // its row tells
}

// poll fetches when time alone has it done, until ctx is done.
func (f *fetches) poll(ctx context.Context) {
	for {
		next, ever := f.cache.Next()
		if !ever || !process.Wait(ctx, max(time.Until(next), tickGap)) || ctx.Err() != nil {
			return
		}
		f.cache.Tick(ctx, time.Now())
	}
}

// held names the keys in use; it is zero before there are any.
func (f *fetches) held() record.Generation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.holds
}

// fetchOnce fetches the keys of one of the issuers and tells of it.
func (f *fetches) fetchOnce(ctx context.Context) (*token.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, f.config.Deadline)
	defer cancel()
	f.answer = answer{}
	began := f.kit.Clock.Offset()
	set, err := f.fetch(ctx)
	row := record.Span{
		Kind: record.Fetch, From: began, To: f.kit.Clock.Offset(), Source: f.config.Pod,
		Peer: f.answer.pod, Outcome: record.OK, Count: 1,
	}
	if err != nil {
		row.Outcome, row.Detail = unfetched(err)
	} else {
		row.Own = &f.answer.held
	}
	f.metrics.fetches.WithLabelValues(string(row.Outcome)).Inc()
	if !f.beginning || err != nil {
		f.kit.Rows.Tell(process.Row{Role: record.Client, Span: row})
	}
	if err == nil {
		f.took(f.answer.held, row.To)
	}
	return set, err
}

// took tells of keys that are not those that were fetched before.
func (f *fetches) took(own record.Generation, at time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if own == f.holds {
		return
	}
	f.holds = own
	f.metrics.turn.Inc()
	if f.beginning {
		at = 0
	}
	f.kit.Rows.Tell(process.Row{Span: record.Span{
		Kind: record.Reload, From: at, To: at, Source: f.config.Pod, Outcome: record.OK, Own: &own,
	}})
}

// unfetched tells how a fetch failed, and why.
func unfetched(err error) (record.Outcome, string) {
	cause := err
	if of, ok := errors.AsType[*token.SetError](err); ok {
		cause = of.Err
		if of.Problem != token.Unfetched {
			return record.NoKeys, string(of.Problem)
		}
	}
	outcome := broken(cause)
	if outcome == record.Other {
		return record.NoKeys, cause.Error()
	}
	return outcome, string(outcome)
}

// listening hears what issuers say of themselves.
type listening struct {
	fetches *fetches
	http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (l listening) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		l.fetches.answer = answer{
			pod: response.Header.Get(headerPod), held: toldGeneration(response.Header),
		}
	}
	return response, err
}

// one connects to one of the addresses that a name has, whichever, and to no other if that fails:
// so does whoever calls a Service.
func one(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := process.NewDialer()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found, err := dialer.Resolver.LookupHost(ctx, host)
	if err != nil {
		return nil, &net.OpError{Op: opDial, Net: network, Err: err}
	}
	return dialer.DialContext(ctx, network,
		net.JoinHostPort(found[rand.IntN(len(found))], port))
}
