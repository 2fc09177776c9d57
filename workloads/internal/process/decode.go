package process

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/certquake/certquake/harness/record"
)

// ErrNotRow is wrapped by DecodeRow's error: the line is not one that Run wrote.
var ErrNotRow = errors.New("not a row of a workload")

// bootLen is the length of Row.Boot: 8 bytes in hexadecimal.
const bootLen = 16

// DecodeRow decodes one line of a process's standard output, with or without its end. A log may
// hold lines of others: whatever Run does not write is an error that wraps ErrNotRow.
func DecodeRow(line []byte) (Row, error) {
	var row Row
	err := errLong
	if len(line) <= lineMax {
		err = DecodeStrictly(line, &row)
	}
	if err == nil {
		err = row.check()
	}
	if err != nil {
		return Row{}, fmt.Errorf("%w: %w", ErrNotRow, err)
	}
	return row, nil
}

var errLong = fmt.Errorf("it is longer than %d bytes", lineMax)

// check returns what a row that Run wrote cannot have.
func (r *Row) check() error {
	span := &r.Span
	boot, err := hex.DecodeString(r.Boot)
	sides := []record.Side{"", record.Client, record.Server}
	switch {
	case err != nil || 2*len(boot) != bootLen:
		return fmt.Errorf("boot is %q", r.Boot)
	case r.Seq == 0:
		return errors.New("seq is 0")
	case !slices.Contains(kinds(), span.Kind):
		return fmt.Errorf("kind is %q", span.Kind)
	case span.Outcome != "" && !slices.Contains(record.Outcomes(), span.Outcome):
		return fmt.Errorf("outcome is %q", span.Outcome)
	case !slices.Contains(sides, r.Role) || !slices.Contains(sides, span.Side):
		return fmt.Errorf("role is %q, side is %q", r.Role, span.Side)
	case (r.Role == "") != (span.Count == 0) || span.Count < 0:
		return fmt.Errorf("role is %q, count is %d", r.Role, span.Count)
	case span.To < span.From:
		return fmt.Errorf("it ends at %s, before it begins at %s", span.To, span.From)
	}
	return nil
}

// kinds returns the kinds of rows that Run writes.
func kinds() []record.Kind {
	return []record.Kind{
		record.Handshake, record.Request, record.Fetch, record.Associate, record.Drop,
		record.Reload, record.Project,
		record.Up, record.Down, record.Clock, record.End,
	}
}
