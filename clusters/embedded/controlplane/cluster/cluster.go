package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/certquake/certquake/clusters/embedded/controlplane/pki"
	"github.com/certquake/certquake/clusters/embedded/controlplane/splice"
)

// Streams are where the inside is told what to do and answers.
type Streams struct {
	In   io.Reader // commands; its end ends the cluster
	Out  io.Writer // one JSON object per line
	Talk io.Writer // progress for people
}

// cluster is the inside: the first process of the namespaces.
type cluster struct {
	config    Config
	services  string
	user      bool // in a user namespace
	outerPID  int
	began     time.Time
	streams   Streams
	authority *pki.Authority
	front     net.Listener
	end       context.CancelCauseFunc
	group     sync.WaitGroup
	out       sync.Mutex

	parts map[string]*process // by name; never changes after the start
	nodes []*node
}

// node is one kubelet and its CRI server.
type node struct {
	name    string
	index   int
	kubelet *process

	mu       sync.Mutex // guards settings and keeps their changes in turn
	settings Settings
}

var errClosed = errors.New("standard input closed")

// Failed is the last line of a cluster that ended by a failure.
type Failed struct {
	Event string `json:"event"` // "failed"
	Error string `json:"error"`
}

// Inside runs the cluster until its input ends, ctx ends, or a part fails; only the last is an
// error. It must be the first process of its namespaces. It blocks.
func Inside(ctx context.Context, configPath string, user bool, streams Streams) error {
	c := &cluster{began: time.Now(), user: user, streams: streams, parts: map[string]*process{}}
	err := c.run(ctx, configPath)
	if err != nil {
		c.print(Failed{"failed", err.Error()})
	}
	return err
}

func (c *cluster) run(ctx context.Context, configPath string) error {
	outer, err := os.Readlink("/proc/self") // still shows the outside
	if err != nil {
		return fmt.Errorf("read process id: %w", err)
	}
	if _, err = fmt.Sscan(outer, &c.outerPID); err != nil {
		return fmt.Errorf("read process id: %w", err)
	}
	in := bufio.NewReader(c.streams.In)
	if c.config, err = ReadConfig(configPath, in); err != nil {
		return err
	}
	ctx, c.end = context.WithCancelCause(ctx)
	defer c.end(nil)
	if err := c.prepare(); err != nil {
		return err
	}
	defer c.close()
	c.group.Go(func() { c.serveFront(ctx) })
	commands := c.readCommands(in)
	if err := c.start(ctx); err != nil {
		return c.verdict(ctx, err)
	}
	c.obey(ctx, commands)
	return c.verdict(ctx, nil)
}

// verdict tells a wanted end from a failure.
func (c *cluster) verdict(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errClosed) || errors.Is(cause, context.Canceled) {
		return nil
	}
	return errors.Join(cause, err)
}

// prepare makes folders, namespaces and certificates; nothing runs yet.
func (c *cluster) prepare() error {
	var err error
	if c.services, err = chooseServices(c.config.Services); err != nil {
		return err
	}
	if err = findNeeded(); err != nil {
		return err
	}
	if err = os.MkdirAll(c.config.Dir, 0o755); err != nil {
		return err
	}
	if err = furnish(c.config, c.services); err != nil {
		return err
	}
	file := os.NewFile(frontDescriptor, "front")
	defer func() { _ = file.Close() }()
	if c.front, err = net.FileListener(file); err != nil {
		return fmt.Errorf("take over listener: %w", err)
	}
	return c.certify()
}

// serveFront lets the outside reach the API server through the listener it handed in.
func (c *cluster) serveFront(ctx context.Context) {
	splice.Serve(ctx, c.front, func() (netip.AddrPort, bool) { return apiAddress(), true })
}

// readCommands hands on the lines of the input, and ends the cluster with it.
func (c *cluster) readCommands(in *bufio.Reader) <-chan []byte {
	lines := make(chan []byte, commandsMax)
	go func() { // ends with the process: a read of standard input cannot be interrupted
		defer c.end(errClosed)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}()
	return lines
}

// close ends every process of the namespaces and removes what lies in the run folder beside
// the logs. The scratch folder goes with the mount namespace.
func (c *cluster) close() {
	c.end(nil)
	c.say("stopping")
	for _, part := range c.parts {
		part.mu.Lock()
		if part.wanted != nil {
			*part.wanted = false
		}
		part.mu.Unlock()
	}
	_ = syscall.Kill(-1, syscall.SIGKILL) // all but the caller: it is the first process
	_ = c.front.Close()
	c.group.Wait()
	_ = os.Remove(c.config.kubeconfig())
}

// died ends the whole cluster: a run without one of its parts would prove nothing.
func (c *cluster) died(name string, err error) {
	err = fmt.Errorf("%s: %w (its log is %s)", name, err, c.config.processLog(name))
	var disk syscall.Statfs_t
	if syscall.Statfs(c.config.Dir, &disk) == nil && disk.Bavail == 0 {
		err = fmt.Errorf("%w: no space is left in %s", err, c.config.Dir)
	}
	c.end(err)
}

func (c *cluster) say(format string, args ...any) {
	at, text := time.Since(c.began).Seconds(), fmt.Sprintf(format, args...)
	_, _ = fmt.Fprintf(c.streams.Talk, "controlplane: %6.2fs %s\n", at, text)
}

// print writes one line of the protocol. Without a reader there is nobody to tell.
func (c *cluster) print(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		text = fmt.Appendf(nil, `{"event":"error","error":%q}`, err)
	}
	c.out.Lock()
	defer c.out.Unlock()
	_, _ = c.streams.Out.Write(append(text, '\n'))
}
