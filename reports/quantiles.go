package reports

import (
	"slices"
	"time"
)

// Quantiles sums up a sample of times. Its quantiles are exact: the smallest value that at least
// the share of the sample does not exceed. An empty sample has zeros throughout.
type Quantiles struct {
	Count int64   `json:"count"`
	Mean  Seconds `json:"mean"`
	P50   Seconds `json:"p50"`
	P90   Seconds `json:"p90"`
	P99   Seconds `json:"p99"`
	Max   Seconds `json:"max"`
}

// quantilesOf sorts the sample in place and sums it up.
func quantilesOf(sample []time.Duration) Quantiles {
	if len(sample) == 0 {
		return Quantiles{}
	}
	slices.Sort(sample)
	return Quantiles{
		Count: int64(len(sample)),
		Mean:  seconds(mean(sample)),
		P50:   seconds(quantile(sample, 50)),
		P90:   seconds(quantile(sample, 90)),
		P99:   seconds(quantile(sample, 99)),
		Max:   seconds(sample[len(sample)-1]),
	}
}

// quantile returns the given percentile of a sorted sample that is not empty.
func quantile(sorted []time.Duration, percent int) time.Duration {
	rank := (len(sorted)*percent + 99) / 100 // of the smallest value that is large enough, from 1
	return sorted[max(rank, 1)-1]
}

// mean returns the mean without overflowing: offsets span years, samples a million.
func mean(sample []time.Duration) time.Duration {
	total := 0.0
	for _, d := range sample {
		total += float64(d)
	}
	return time.Duration(total / float64(len(sample)))
}
