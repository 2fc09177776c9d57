package bearer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/peer"
	"github.com/certquake/certquake/workloads/request"
	"github.com/certquake/certquake/workloads/token"
)

// The headers by which the end that is called tells of itself.
const (
	headerPod     = "Certquake-Pod"     // its name in the plan
	headerOutcome = "Certquake-Outcome" // of a call that it refuses
	headerPrimary = "Certquake-Primary" // the Leaf of its generation
	headerKeys    = "Certquake-Keys"    // the Trust of it
)

// tellGeneration writes the headers of a generation.
func tellGeneration(h http.Header, g record.Generation) {
	h.Set(headerPrimary, g.Leaf)
	h.Set(headerKeys, g.Trust)
}

// toldGeneration is its inverse.
func toldGeneration(h http.Header) record.Generation {
	return record.Generation{Leaf: h.Get(headerPrimary), Trust: h.Get(headerKeys)}
}

// opDial is how package net marks what failed before there was a connection.
const opDial = "dial"

// caller makes calls with tokens that it signs.
type caller struct {
	config  *Config
	kit     *process.Kit
	metrics *metrics
	rings   *rings
	client  *http.Client
	signer  *token.Signer

	mu     sync.Mutex
	ring   *keyring.Ring // that a token is signed from
	none   error         // why there is none
	held   string        // the token; "" for none
	own    record.Generation
	renew  time.Duration // from this offset on, calls are with another token
	timely bool          // renew is known
}

func newCaller(c *Config, kit *process.Kit, m *metrics, r *rings) (*caller, error) {
	network := process.NewDialer()
	made := &caller{
		config: c, kit: kit, metrics: m, rings: r, client: &http.Client{
			Transport: newTransport(network.DialContext),
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
	signer, err := token.NewSigner(c.Token,
		func() (*keyring.Ring, error) { return made.ring, made.none })
	if err != nil {
		return nil, fmt.Errorf("make a signer: %w", err)
	}
	made.signer = signer
	return made, nil
}

// newTransport returns a transport that makes a connection for each request.
func newTransport(
	dial func(ctx context.Context, network, address string) (net.Conn, error),
) *http.Transport {
	return &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}
}

// begin pretends that the token was signed TokenAge before offset 0.
func (c *caller) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew, c.timely = c.config.Reuse-c.config.TokenAge, true
}

// current returns the token to call with, after signing it if that is due, and names the ring that
// it was signed from: without a token, the ring that is in use.
func (c *caller) current() (held string, own record.Generation, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring, c.none = c.rings.demand()
	now := c.kit.Clock.Offset()
	if c.held != "" && now < c.renew {
		return c.held, c.own, nil
	}
	c.own = c.rings.held()
	c.held, _, err = c.signer.Sign(c.kit.Clock.Now(), jwt.Claims{})
	if err != nil {
		return "", c.own, err
	}
	reuse := c.config.Reuse
	switch {
	case !c.timely:
		c.renew, c.timely = now+reuse, true
	case now >= c.renew:
		c.renew = now + reuse - (now-c.renew)%reuse // a whole number of times later
	}
	return c.held, c.own, nil
}

// ending is how a call ended at this end.
type ending struct {
	outcome record.Outcome
	side    record.Side // the end that decided a failure, when this end knows
	own     record.Generation
	other   *record.Generation // as the other end told it
}

// attempt makes one call that was due at an offset. Its success is counted, its failure is a row.
func (c *caller) attempt(
	ctx context.Context, target *peer.Target, due time.Duration, good *process.Successes,
) {
	end := c.call(ctx, target)
	c.metrics.request(record.Client, end.outcome)
	if end.outcome == record.OK {
		took := c.kit.Clock.Offset() - due
		good.Add(due, took)
		c.metrics.duration.Observe(took.Seconds())
		return
	}
	c.kit.Rows.Put(process.Row{Role: record.Client, Span: record.Span{
		Kind: record.Request, From: due, To: due, Source: c.config.Pod, Peer: target.Pod,
		Outcome: end.outcome, Count: 1, Side: end.side, Own: &end.own, Other: end.other,
	}})
}

// call makes one call. It blocks until that has ended, at most for Config.Deadline.
func (c *caller) call(ctx context.Context, target *peer.Target) ending {
	ctx, cancel := context.WithTimeout(ctx, c.config.Deadline)
	defer cancel()
	held, own, err := c.current()
	end := ending{own: own}
	if err != nil {
		end.outcome, end.side = request.Judge(err)
		return end
	}
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://"+target.Address+"/", http.NoBody)
	if err != nil {
		end.outcome = record.Other
		return end
	}
	asked.Header.Set("Authorization", scheme+held)
	response, err := c.client.Do(asked)
	if err != nil {
		if end.outcome = broken(err); end.outcome == record.Unreachable {
			end.side = record.Client
		}
		return end
	}
	_ = response.Body.Close()
	end.judge(response)
	return end
}

// judge takes the other end's answer.
func (e *ending) judge(response *http.Response) {
	told := record.Outcome(response.Header.Get(headerOutcome))
	switch {
	case response.StatusCode == http.StatusNoContent:
		e.outcome = record.OK
	case response.StatusCode == http.StatusUnauthorized && told.Credential() &&
		slices.Contains(record.Outcomes(), told):
		other := toldGeneration(response.Header)
		e.outcome, e.side, e.other = told, record.Server, &other
	default:
		e.outcome = record.Other
	}
}

// broken tells how an exchange ended that brought no answer.
func broken(err error) record.Outcome {
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == opDial {
		outcome, _ := process.NotConnected(err)
		return outcome
	}
	timing, timed := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return record.Canceled
	case errors.Is(err, context.DeadlineExceeded), timed && timing.Timeout():
		return record.Timeout
	}
	return record.Other
}
