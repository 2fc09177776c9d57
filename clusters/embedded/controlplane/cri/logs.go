package cri

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// logLineMax is the length at which a line is split, as other runtimes do.
const logLineMax = 16 << 10

// logFile is a container's log in the format the kubelet reads:
//
//	2026-01-02T15:04:05.000000000Z stdout F a whole line
//	2026-01-02T15:04:05.000000000Z stdout P a piece of a longer one
//
// A nil logFile discards, as a container without a log path wants.
type logFile struct {
	path string
	fail func(error) // is told that the log is incomplete

	mu   sync.Mutex
	file *os.File
}

// open opens the file at the path, anew if need be. Lines written meanwhile go to one of both.
func (l *logFile) open() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = file
	if old != nil {
		return old.Close()
	}
	return nil
}

// copy writes everything from a stream until it ends. It never stops reading, for a workload
// must not block on a log that cannot be written.
func (l *logFile) copy(stream string, from io.Reader) {
	reader := bufio.NewReaderSize(from, logLineMax)
	for {
		piece, err := reader.ReadSlice('\n')
		if l != nil && len(piece) > 0 {
			l.write(stream, piece)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (l *logFile) write(stream string, piece []byte) {
	tag := "P"
	if piece[len(piece)-1] == '\n' {
		tag, piece = "F", piece[:len(piece)-1]
	}
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
	line := fmt.Appendf(nil, "%s %s %s %s\n", now, stream, tag, piece)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		if _, err := l.file.Write(line); err != nil {
			l.fail(fmt.Errorf("write log of a container: %w", err))
		}
	}
}

func (l *logFile) close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
