package reports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// Moment writes an offset or a duration for people: 390s is "6m30s", a year is "365d".
func Moment(d time.Duration) string {
	if d < 0 {
		return "-" + Moment(-d)
	}
	switch {
	case d < time.Second:
		return d.Round(time.Microsecond).String()
	case d < time.Hour:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Second)
	}
	days := d / (24 * time.Hour)
	rest := d % (24 * time.Hour)
	text := ""
	if days > 0 {
		text = fmt.Sprintf("%dd", days)
	}
	if rest == 0 && text != "" {
		return text
	}
	clock := rest.String()
	clock = strings.TrimSuffix(clock, "0s")
	if clock == "" || !strings.HasSuffix(clock, "m") {
		clock = rest.String()
	}
	if trimmed, ok := strings.CutSuffix(clock, "h0m"); ok {
		clock = trimmed + "h"
	}
	return text + clock
}

// Number writes a count with commas.
func Number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// CommandLine writes a command as a POSIX shell is to be given it: words that hold anything with a
// meaning to a shell are in quotes.
func CommandLine(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsFunc(word, special) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// special reports whether a character is none of those that no shell gives a meaning to.
func special(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
		!strings.ContainsRune("-_./=:@%+,", r)
}

// plural writes a count and its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok && !strings.HasSuffix(noun, "ey") {
		return Number(n) + " " + stem + "ies"
	}
	return Number(n) + " " + noun + "s"
}

// describe tells one failure: when, between whom, what the end that decided it held and was shown.
func (a *Analysis) describe(f *failure) string {
	if f.call {
		return a.describeCall(f)
	}
	if f.access {
		return a.describeAccess(f)
	}
	own, other := a.generations.at(f.own), a.generations.at(f.other)
	judge, shown := f.source, f.peer
	if f.side == record.Server {
		judge, shown = f.peer, f.source
		own, other = other, own
	}
	text := fmt.Sprintf("%s -> %s at %s (%s", a.pods.name(f.source), a.pods.name(f.peer),
		Moment(f.from), f.outcome)
	switch {
	case f.outcome == record.NoCredential:
		text += fmt.Sprintf(": %s could not load %s", a.pods.name(judge), leafOf(own))
	case own.Trust != "" && other.Leaf != "":
		text += fmt.Sprintf(": %s, trusting %s, was shown %s", a.pods.name(judge), own.Trust,
			leafOf(other))
		if shown != f.peer {
			text += " by " + a.pods.name(shown)
		}
	}
	return text + ")"
}

// describeCall is describe for a call with a token: what signed it, and what its verifier had.
func (a *Analysis) describeCall(f *failure) string {
	token, ring := a.generations.at(f.own), a.generations.at(f.other)
	caller, verifier := a.pods.name(f.source), a.pods.name(f.peer)
	text := fmt.Sprintf("%s -> %s at %s (%s", caller, verifier, Moment(f.from), f.outcome)
	switch {
	case f.outcome == record.NoPrimary:
		text += fmt.Sprintf(": %s had no key to sign with", caller)
	case f.outcome == record.NoKeys:
		text += fmt.Sprintf(": %s had no keys that it could use", verifier)
	case f.outcome.Credential() && token.Leaf != "" && ring.Trust != "":
		text += fmt.Sprintf(": %s, which had %s, was shown a token signed by %s", verifier,
			strings.ReplaceAll(ring.Trust, "+", " and "), token.Leaf)
	}
	return text + ")"
}

// describeAccess is describe for a read or write of a record: what its pod had, and what the record
// was sealed under.
func (a *Analysis) describeAccess(f *failure) string {
	ring, sealed := a.generations.at(f.own), a.generations.at(f.other)
	pod := a.pods.name(f.source)
	text := fmt.Sprintf("%s at %s (%s", pod, Moment(f.from), f.outcome)
	switch {
	case f.outcome == record.NoPrimary:
		text += fmt.Sprintf(": %s had no key that its store takes records under", pod)
	case f.outcome == record.NoKeys:
		text += fmt.Sprintf(": %s had no keys that it could use", pod)
	case sealed.Leaf != "" && ring.Trust != "":
		text += fmt.Sprintf(": %s, which had %s, read a record under %s", pod,
			strings.ReplaceAll(ring.Trust, "+", " and "), sealed.Leaf)
	}
	return text + ")"
}

// contentOf names what a Secret held: a leaf or, of a key ring, its keys.
func (a *Analysis) contentOf(w write) string {
	generation := a.generations.at(w.generation)
	if a.secrets.rings[w.secret] {
		return ringOf(generation)
	}
	return generation.Leaf
}

// ringOf writes a key ring as "jwt: r1* r2", the star being the primary's.
func ringOf(generation record.Generation) string {
	return secretIn(generation) + ": " + keysOf(generation)
}

// keysOf writes the keys of a ring by their ids, with a star at the primary. A set of keys that are
// all public has none.
func keysOf(generation record.Generation) string {
	var keys []string
	for _, key := range authorities(generation.Trust) {
		id := idOf(key)
		if slices.Contains(authorities(generation.Leaf), key) {
			id += "*"
		}
		keys = append(keys, id)
	}
	return strings.Join(keys, " ")
}

// idOf returns the id of a key that a record names "<secret>/<id>".
func idOf(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// secretIn returns the name of the Secret in what a record calls its keys.
func secretIn(generation record.Generation) string {
	first, _, _ := strings.Cut(generation.Trust, "+")
	return strings.TrimSuffix(strings.TrimSuffix(first, idOf(first)), "/")
}

// leafOf names a leaf and what it was issued by.
func leafOf(generation record.Generation) string {
	if generation.Chain == "" {
		return generation.Leaf
	}
	return generation.Leaf + " issued by " + generation.Chain
}
