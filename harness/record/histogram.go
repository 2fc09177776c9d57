package record

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and precision of latency histograms: 1 µs to 10 minutes, 2 significant digits.
const (
	latencyMin    = int64(time.Microsecond)
	latencyMax    = int64(10 * time.Minute)
	latencyDigits = 2
)

// Histogram is a high-dynamic-range histogram of latencies. In JSON it is the base64 text of the
// HdrHistogram V2 compressed format, in nanoseconds, which other HDR tools read.
type Histogram struct {
	hdr  *hdrhistogram.Histogram
	text []byte // as MarshalJSON wrote it last; nil after a change
}

// NewHistogram returns an empty histogram.
func NewHistogram() *Histogram {
	return &Histogram{hdr: hdrhistogram.New(latencyMin, latencyMax, latencyDigits)}
}

// Record adds n attempts that took the given time. Values outside the range count at its ends.
func (h *Histogram) Record(took time.Duration, n int64) {
	value := min(max(int64(took), latencyMin), latencyMax)
	// RecordValues errs only for values out of range, which the line above excludes.
	_ = h.hdr.RecordValues(value, n)
	h.text = nil
}

// Merge adds every attempt of other.
func (h *Histogram) Merge(other *Histogram) {
	if other != nil {
		h.hdr.Merge(other.hdr)
		h.text = nil
	}
}

// Count returns the number of attempts.
func (h *Histogram) Count() int64 { return h.hdr.TotalCount() }

// Quantile returns the latency that the share q (0 to 1) of attempts did not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	return time.Duration(h.hdr.ValueAtQuantile(100 * q))
}

// Max returns the largest latency.
func (h *Histogram) Max() time.Duration { return time.Duration(h.hdr.Max()) }

// Mean returns the mean latency.
func (h *Histogram) Mean() time.Duration { return time.Duration(h.hdr.Mean()) }

// MarshalJSON encodes the histogram as described on the type.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	if h.text != nil {
		return h.text, nil
	}
	encoded, err := h.hdr.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("encode latency histogram: %w", err)
	}
	h.text, err = json.Marshal(string(encoded))
	return h.text, err
}

// UnmarshalJSON decodes what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("decode latency histogram: %w", err)
	}
	hdr, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return fmt.Errorf("decode latency histogram: %w", err)
	}
	h.hdr, h.text = hdr, nil
	return nil
}
