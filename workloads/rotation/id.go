package rotation

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// timeLayout is RFC 3339's basic form, since a colon is no character of a Secret's key.
const timeLayout = "20060102T150405Z"

// counterDigitsMax keeps a counter within an int64.
const counterDigitsMax = 18

// Order compares the ages of two keys by their ids: -1 when a is the older, 1 when b is. It
// reports false when the ids do not tell: they must be of one kind, have the same prefix, and
// differ.
func Order(a, b string) (order int, ok bool) {
	prefixA, bornA, okA := born(a)
	prefixB, bornB, okB := born(b)
	if okA && okB && prefixA == prefixB {
		order = bornA.Compare(bornB)
		return order, order != 0
	}
	if okA || okB || isUUID(a) || isUUID(b) {
		return 0, false
	}
	prefixA, countA, okA := count(a)
	prefixB, countB, okB := count(b)
	if okA && okB && prefixA == prefixB {
		order = cmp.Compare(countA, countB)
		return order, order != 0
	}
	return 0, false
}

// count takes an id of the kind Counter apart.
func count(id string) (prefix string, number int64, ok bool) {
	prefix = strings.TrimRight(id, digits)
	text := id[len(prefix):]
	if text == "" || len(text) > counterDigitsMax {
		return "", 0, false
	}
	number, err := strconv.ParseInt(text, 10, 64)
	return prefix, number, err == nil
}

// born takes an id of the kinds Timestamp and UUID apart.
func born(id string) (prefix string, at time.Time, ok bool) {
	if i := len(id) - len(timeLayout); i >= 0 {
		if at, err := time.Parse(timeLayout, id[i:]); err == nil {
			return id[:i], at, true
		}
	}
	i := len(id) - uuidLength
	if i < 0 || !isUUID(id) || id[i+14] != '7' {
		return "", time.Time{}, false
	}
	bits, err := hex.DecodeString(strings.ReplaceAll(id[i:], "-", ""))
	if err != nil {
		return "", time.Time{}, false
	}
	millis := binary.BigEndian.Uint64(bits[:8]) >> 16
	return id[:i], time.UnixMilli(int64(millis)).UTC(), true
}

// uuidLength is of a UUID's text.
const uuidLength = 36

// isUUID reports whether an id ends in a UUID of any version.
func isUUID(id string) bool {
	if len(id) < uuidLength {
		return false
	}
	for i, c := range []byte(id[len(id)-uuidLength:]) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
				return false
			}
		}
	}
	return true
}

// newUUID returns a UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then
// random ones around the version and the variant.
func newUUID(at time.Time, random io.Reader) (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return "", fmt.Errorf("draw an id: %w", err)
	}
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(at.UnixMilli()))
	copy(id[:6], millis[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), nil
}
