package embedded

import (
	"bytes"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// config is the first line of the control plane's input. Its README describes the protocol.
type config struct {
	Dir    string            `json:"dir"`
	Nodes  []nodeConfig      `json:"nodes"`
	Images map[string]string `json:"images"`
}

type nodeConfig struct {
	Name string `json:"name"`
	settings
}

// settings are those of a kubelet that may change while its pods go on.
type settings struct {
	SyncFrequency   string                    `json:"syncFrequency,omitempty"`
	ChangeDetection scenarios.ChangeDetection `json:"changeDetection,omitempty"`
}

func settingsOf(node scenarios.PlannedNode) settings {
	return settings{node.SyncFrequency.String(), node.ChangeDetection}
}

// command is any later line of the input.
type command struct {
	ID   string `json:"id"` // repeated in the answer
	Do   string `json:"do"`
	Node string `json:"node,omitempty"`
	settings
}

// The events of the output.
const (
	eventReady  = "ready"
	eventAnswer = "answer"
	eventFailed = "failed"
)

// line is one line of the output; which fields are set depends on Event.
type line struct {
	Event string `json:"event"`
	ready
	answer
}

// ready says what has come up.
type ready struct {
	Kubeconfig  string            `json:"kubeconfig"`
	Server      string            `json:"server"`
	InitPID     int               `json:"init_pid"`
	Versions    map[string]string `json:"versions"`
	MemoryBytes map[string]int64  `json:"memory_bytes"` // by part, to be added
}

func (r ready) memory() int64 {
	var sum int64
	for _, part := range r.MemoryBytes {
		sum += part
	}
	return sum
}

// answer is that to a command, or with eventFailed the last word of a cluster.
type answer struct {
	ID    string        `json:"id"`
	Do    string        `json:"do"`
	OK    bool          `json:"ok"` // the effect was seen
	Error string        `json:"error"`
	Took  time.Duration `json:"took_ns"`
}

// lineMax bounds a line; that of 200 nodes takes 60 kB. Of a longer one the head is handed on.
const lineMax = 4 << 20

// lines is a writer that hands on what is written line by line, without their ends. What stands
// after the last end is handed on by flush.
type lines struct {
	take func(line []byte)
	rest []byte
	skip bool // the rest of a line that was too long
}

func (l *lines) Write(data []byte) (int, error) {
	for head := range bytes.Lines(data) {
		text, whole := bytes.CutSuffix(head, []byte("\n"))
		if !l.skip {
			l.rest = append(l.rest, text...)
		}
		if whole || len(l.rest) > lineMax {
			l.flush()
			l.skip = !whole
		}
	}
	return len(data), nil
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.take(l.rest)
	}
	l.rest = l.rest[:0]
}
