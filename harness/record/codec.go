package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxRow bounds one row of a record, so that a foreign file cannot fill the memory.
const maxRow = 1 << 20

// ErrNotRecord is wrapped by NewReader's error when the input does not begin with a header that
// this version can read.
var ErrNotRecord = errors.New("not a certquake record")

// Writer writes a record as JSON Lines. It buffers: call Flush before the file is closed.
type Writer struct {
	buffer  *bufio.Writer
	encoder *json.Encoder
	err     error
}

// NewWriter writes the header to w and returns a Writer for the rows.
func NewWriter(w io.Writer, header Header) (*Writer, error) {
	header.Version = Version
	buffer := bufio.NewWriterSize(w, 1<<18)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(header); err != nil {
		return nil, fmt.Errorf("write record header: %w", err)
	}
	return &Writer{buffer: buffer, encoder: encoder}, nil
}

// Write appends one row.
func (w *Writer) Write(span Span) error {
	if w.err != nil {
		return w.err
	}
	if err := w.encoder.Encode(&span); err != nil {
		w.err = fmt.Errorf("write record row: %w", err)
	}
	return w.err
}

// Flush hands everything written so far to the underlying writer.
func (w *Writer) Flush() error {
	if w.err == nil {
		if err := w.buffer.Flush(); err != nil {
			w.err = fmt.Errorf("flush record: %w", err)
		}
	}
	return w.err
}

// Reader reads a record.
type Reader struct {
	Header    Header
	truncated bool
	lines     *bufio.Reader
	row       int
}

// NewReader reads the header from r. Its error wraps ErrNotRecord when r holds something else.
func NewReader(r io.Reader) (*Reader, error) {
	reader := &Reader{lines: bufio.NewReaderSize(r, 1<<18), row: 1}
	line, err := reader.line()
	if err != nil {
		return nil, fmt.Errorf("%w: no whole first row: %w", ErrNotRecord, err)
	}
	if err := json.Unmarshal(line, &reader.Header); err != nil {
		return nil, fmt.Errorf("%w: row 1: %w", ErrNotRecord, err)
	}
	if reader.Header.Version != Version {
		return nil, fmt.Errorf("%w: format version %d, this program reads version %d",
			ErrNotRecord, reader.Header.Version, Version)
	}
	return reader, nil
}

// Spans yields the rows in order. A last row without its line end is a crash's unfinished write: it
// is left out, and Truncated reports it. A whole row that does not decode is an error and ends the
// sequence.
func (r *Reader) Spans() iter.Seq2[Span, error] {
	return func(yield func(Span, error) bool) {
		for {
			line, err := r.line()
			if errors.Is(err, io.EOF) {
				return
			}
			r.row++
			var span Span
			if err == nil {
				err = json.Unmarshal(line, &span)
			}
			if err != nil {
				yield(Span{}, fmt.Errorf("record row %d: %w", r.row, err))
				return
			}
			if !yield(span, nil) {
				return
			}
		}
	}
}

// Truncated reports whether the rows read so far ended in an unfinished one.
func (r *Reader) Truncated() bool { return r.truncated }

// line returns the next whole line, io.EOF after the last one.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte{'\n'}), nil
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxRow:
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("a row exceeds %d bytes", maxRow)
		default:
			r.truncated = len(line) > 0
			return nil, err
		}
	}
}
