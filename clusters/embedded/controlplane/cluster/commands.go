package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/certquake/certquake/clusters/embedded/controlplane/certmanager"
	"github.com/certquake/certquake/clusters/embedded/controlplane/kubelet"
)

// commandsMax bounds the commands that wait or are being carried out.
const commandsMax = 64

// commandMax bounds one command. The longest is a start of the API server.
const commandMax = 2 * time.Minute

// Command is one line of the input.
type Command struct {
	ID   string `json:"id"` // repeated in the answer
	Do   string `json:"do"`
	Node string `json:"node"`
	Settings
}

// Answer is one line of the output. OK says that the effect was seen: the process is paused,
// has ended, or answers again.
type Answer struct {
	Event string           `json:"event"` // "answer"
	ID    string           `json:"id,omitempty"`
	Do    string           `json:"do"`
	Node  string           `json:"node,omitempty"`
	OK    bool             `json:"ok"`
	Error string           `json:"error,omitempty"`
	At    time.Time        `json:"at"` // when the effect was seen
	Took  time.Duration    `json:"took_ns"`
	Nodes []NodeFacts      `json:"nodes,omitempty"`        // of "status"
	Bytes map[string]int64 `json:"memory_bytes,omitempty"` // of "status"
}

var errUnknown = errors.New("unknown")

// obey carries out commands, each on its own, until ctx ends: a start that takes seconds must
// not delay a fault that is due now. Commands for one process take turns.
func (c *cluster) obey(ctx context.Context, lines <-chan []byte) {
	slots := make(chan struct{}, commandsMax)
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-lines:
			slots <- struct{}{}
			c.group.Go(func() {
				defer func() { <-slots }()
				c.print(c.answer(ctx, line))
			})
		}
	}
}

func (c *cluster) answer(ctx context.Context, line []byte) Answer {
	ctx, cancel := context.WithTimeout(ctx, commandMax)
	defer cancel()
	began := time.Now()
	var command Command
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&command)
	answer := Answer{Event: "answer", ID: command.ID, Do: command.Do, Node: command.Node}
	if err == nil {
		err = c.carryOut(ctx, command)
	}
	if answer.OK = err == nil; !answer.OK {
		answer.Error = err.Error()
	}
	if command.Do == "status" && err == nil {
		answer.Nodes, answer.Bytes = c.nodeFacts(), c.memory()
	}
	answer.At, answer.Took = time.Now(), time.Since(began)
	return answer
}

func (c *cluster) carryOut(ctx context.Context, command Command) error {
	server, issuer, webhook := c.parts[partAPI], c.parts[partCertManager], c.parts[partWebhook]
	do := map[string]func() error{
		"status":             func() error { return nil },
		"stop-apiserver":     func() error { return server.stop(ctx, syscall.SIGKILL) },
		"start-apiserver":    func() error { return c.startAPI(ctx) },
		"pause-apiserver":    func() error { return server.freeze(ctx, true) },
		"resume-apiserver":   func() error { return server.freeze(ctx, false) },
		"stop-cert-manager":  func() error { return issuer.stop(ctx, syscall.SIGTERM) },
		"start-cert-manager": func() error { return issuer.restart() },
		"stop-webhook":       func() error { return webhook.stop(ctx, syscall.SIGTERM) },
		"start-webhook":      func() error { return c.startWebhook(ctx) },
	}[command.Do]
	if do != nil {
		return do()
	}
	onNode := map[string]func(*node) error{
		"pause-kubelet":  func(n *node) error { return n.kubelet.freeze(ctx, true) },
		"resume-kubelet": func(n *node) error { return n.kubelet.freeze(ctx, false) },
		"stop-kubelet":   func(n *node) error { return n.kubelet.stop(ctx, syscall.SIGTERM) },
		"start-kubelet":  func(n *node) error { return c.startKubelet(ctx, n, n.current()) },
		"configure-kubelet": func(n *node) error {
			return c.configureKubelet(ctx, n, command.Settings)
		},
	}[command.Do]
	if onNode == nil {
		return fmt.Errorf("command %q is %w", command.Do, errUnknown)
	}
	for _, n := range c.nodes {
		if n.name == command.Node {
			return onNode(n)
		}
	}
	return fmt.Errorf("node %q is %w", command.Node, errUnknown)
}

func (c *cluster) startAPI(ctx context.Context) error {
	if err := c.parts[partAPI].restart(); err != nil {
		return err
	}
	client, _, err := c.client()
	if err != nil {
		return err
	}
	return c.awaitAPI(ctx, client)
}

func (c *cluster) startWebhook(ctx context.Context) error {
	if err := c.parts[partWebhook].restart(); err != nil {
		return err
	}
	_, config, err := c.client()
	if err != nil {
		return err
	}
	return certmanager.WaitReady(ctx, config)
}

// configureKubelet restarts the kubelet; containers belong to the CRI server and go on.
func (c *cluster) configureKubelet(ctx context.Context, n *node, settings Settings) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	settings.fill(n.settings)
	if err := settings.validate(); err != nil {
		return err
	}
	err := n.kubelet.stop(ctx, syscall.SIGTERM)
	if err != nil && !errors.Is(err, errStopped) {
		return err
	}
	n.settings = settings
	return c.startKubelet(ctx, n, settings)
}

// startKubelet returns when the kubelet serves.
func (c *cluster) startKubelet(ctx context.Context, n *node, settings Settings) error {
	if err := n.kubelet.start(c.kubeletArgs(n, settings)); err != nil {
		return err
	}
	return await(ctx, 20*time.Millisecond, func() bool {
		return serves(ctx, nodeAddress(n.index), kubelet.Port)
	})
}
