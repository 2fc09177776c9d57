package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/certquake/certquake/reports"
)

// span prints a duration as plans do, without zero parts: 10m, 1h20m, 9500h.
func span(d time.Duration) string {
	text := d.Round(time.Millisecond).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// moment prints a report's time as reports do.
func moment(s reports.Seconds) string {
	return reports.Moment(time.Duration(float64(s) * float64(time.Second)))
}

// tell prints. An error of standard output is kept by output, for Main; one of standard error has
// nowhere to go.
func tell(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}

// columns is the width that long text is wrapped at. It does not follow the terminal's, so that
// output is the same everywhere.
const columns = 100

// printWrapped prints the text after the head, and its further lines under its first one.
func printWrapped(w io.Writer, head, text string) {
	indent := utf8.RuneCountInString(head)
	line, width := head, indent
	for i, word := range strings.Fields(text) {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+length > columns:
			tell(w, "%s\n", line)
			line, width = strings.Repeat(" ", indent), indent
		default:
			line, width = line+" ", width+1
		}
		line, width = line+word, width+length
	}
	tell(w, "%s\n", strings.TrimRight(line, " "))
}
