package scenarios

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// JSON returns the plan as canonical JSON, indented and with a newline at its end: equal plans give
// equal bytes.
func (p Plan) JSON() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p); err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	return b.Bytes(), nil
}

// Digest returns "sha256:" and the digest of what JSON returns, which names the plan.
func (p Plan) Digest() string {
	data, err := p.JSON()
	if err != nil {
		panic(err) // every plan can be encoded
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Table writes the plan as tables for people.
func (p Plan) Table(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p.summary(table)
	p.nodeTable(table)
	p.workloadTable(table)
	p.loadTable(table)
	p.actionTable(table)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

func (p Plan) summary(w io.Writer) {
	expect := p.Expect.Verdict
	if p.Expect.Because != "" {
		expect += " because of " + p.Expect.Because
	}
	line(w, "SCENARIO", p.Scenario)
	line(w, "SEED", strconv.FormatUint(p.Seed, 10))
	if p.Speed > 0 {
		line(w, "SPEED", FormatSpeed(p.Speed)+" times as fast as written")
	}
	line(w, "DIGEST", p.Digest())
	line(w, "HORIZON", shortDuration(p.Horizon))
	line(w, "EXPECT", expect)
	line(w, "BOUND", shortDuration(p.Bound())+" from a Secret's write to its use everywhere")
}

func (p Plan) nodeTable(w io.Writer) {
	pods := map[string]int{}
	for _, pod := range p.Pods {
		pods[pod.Node]++
	}
	line(w)
	line(w, "NODE", "SYNC", "DETECTION", "PODS")
	for _, node := range p.Nodes {
		detection := string(node.ChangeDetection)
		if node.CacheTTL > 0 {
			detection += " " + shortDuration(node.CacheTTL)
		}
		line(w, node.Name, shortDuration(node.SyncFrequency), detection,
			strconv.Itoa(pods[node.Name]))
	}
}

func (p Plan) workloadTable(w io.Writer) {
	pods := map[string]int{}
	for _, pod := range p.Pods {
		pods[pod.Workload]++
	}
	bounds := p.Bounds()
	if len(p.Peers) > 0 {
		line(w)
		line(w, "WORKLOAD", "PODS", "SECRET", "RELOAD", "TRUST", "PAIR CHECK", "ASSOCIATIONS",
			"BOUND")
	}
	for _, group := range p.Peers {
		line(w, group.Workload, strconv.Itoa(pods[group.Workload]), group.Secret,
			group.reload(), group.Trust, group.PairCheck, group.Associations,
			shortDuration(bounds[group.Workload]))
	}
	if len(p.Tokens) > 0 {
		line(w)
		line(w, "WORKLOAD", "PODS", "TOKENS", "KEYS", "RELOAD", "TTL", "REUSE", "LEEWAY", "BOUND")
	}
	for i := range p.Tokens {
		group := &p.Tokens[i]
		line(w, group.Workload, strconv.Itoa(pods[group.Workload]),
			string(group.Role)+" "+group.Algorithm, group.keys(), group.reload(),
			durationOrNone(group.TTL), durationOrNone(group.Reuse),
			durationOrNone(group.Leeway), shortDuration(bounds[group.Workload]))
	}
	if len(p.Stores) > 0 {
		line(w)
		line(w, "WORKLOAD", "PODS", "RECORDS", "KEYS", "RELOAD", "MIGRATION", "BOUND")
	}
	for i := range p.Stores {
		group := &p.Stores[i]
		migration := "none"
		if p.Migrates(group) {
			migration = "before a key goes"
		}
		line(w, group.Workload, strconv.Itoa(pods[group.Workload]),
			strconv.Itoa(group.Records)+" each", group.Secret, group.reload(), migration,
			shortDuration(bounds[group.Workload]))
	}
}

// reload says when the files are read again.
func (c *Consumer) reload() string {
	if c.Every > 0 {
		return c.Policy + " " + shortDuration(c.Every)
	}
	return orDefault(c.Policy, "-")
}

// keys says where the keys are from.
func (g *TokenGroup) keys() string {
	if g.JWKS == nil {
		return g.Secret
	}
	said := "JWKS of " + g.JWKS.From + " " + g.JWKS.Kind
	if every := max(g.JWKS.MaxAge, g.JWKS.Interval); every > 0 {
		said += " " + shortDuration(every)
	}
	return said
}

func durationOrNone(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return shortDuration(d)
}

// loadTable sums up the streams of the same workloads.
func (p Plan) loadTable(w io.Writer) {
	type kind struct {
		from, to string
		every    time.Duration
	}
	workload := map[string]string{}
	for _, pod := range p.Pods {
		workload[pod.Name] = pod.Workload
	}
	var kinds []kind
	attempts, sources := map[kind]int64{}, map[kind]int{}
	for _, stream := range p.Streams {
		k := kind{workload[stream.Source], stream.to(), stream.Every}
		if sources[k] == 0 {
			kinds = append(kinds, k)
		}
		sources[k]++
		attempts[k] += p.Attempts(stream, p.Horizon)
	}
	if len(kinds) == 0 {
		return
	}
	line(w)
	line(w, "LOAD", "TO", "PODS", "EVERY", "ATTEMPTS")
	for _, k := range kinds {
		line(w, k.from, k.to, strconv.Itoa(sources[k]), k.every.String(),
			strconv.FormatInt(attempts[k], 10))
	}
}

// to says whom or what the attempts are of.
func (s *Stream) to() string {
	switch s.Op {
	case Reads:
		return "its own records, to read them"
	case Writes:
		return "its own records, to seal them anew"
	case Calls:
	}
	return strings.Join(s.To, " ")
}

func (p Plan) actionTable(w io.Writer) {
	if len(p.Actions) == 0 {
		return
	}
	line(w)
	line(w, "AT", "ACTION", "WHAT")
	for _, action := range p.Actions {
		line(w, shortDuration(action.At), action.ID, action.Note)
	}
}

// line writes one row of a table; the tabwriter keeps its first error until Flush.
func line(w io.Writer, cells ...string) {
	_, _ = io.WriteString(w, strings.Join(cells, "\t")+"\n")
}
