package reports

import (
	"slices"
	"time"
)

// Disagreement is how far apart two pods that mount the same Secret, or fetch its keys, took the
// same write into use, over every unordered pair and every write.
type Disagreement struct {
	Count int64   `json:"count"`
	Mean  Seconds `json:"mean"`
	P50   Seconds `json:"p50"`
	P99   Seconds `json:"p99"`
}

// disagreementOf computes it from the sorted delays of each write. The pairs, half a million for
// one write among a thousand pods, are never listed: the mean follows from the ranks, a quantile
// from counting the pairs that are at most so far apart.
func disagreementOf(delays [][]time.Duration) Disagreement {
	var pairs int64
	var total float64
	var widest time.Duration
	for _, sorted := range delays {
		n := int64(len(sorted))
		pairs += n * (n - 1) / 2
		for i, delay := range sorted {
			total += float64(2*int64(i)-n+1) * float64(delay)
		}
		if n > 0 {
			widest = max(widest, sorted[n-1]-sorted[0])
		}
	}
	if pairs == 0 {
		return Disagreement{}
	}
	return Disagreement{
		Count: pairs,
		Mean:  Seconds(total / float64(pairs) / float64(time.Second)),
		P50:   seconds(pairQuantile(delays, pairs, 50, widest)),
		P99:   seconds(pairQuantile(delays, pairs, 99, widest)),
	}
}

// pairQuantile returns the smallest difference that the given percentage of pairs does not exceed,
// found by bisection.
func pairQuantile(
	delays [][]time.Duration, pairs int64, percent int64, widest time.Duration,
) time.Duration {
	need := max((pairs*percent+99)/100, 1)
	low, high := time.Duration(0), widest
	for low < high {
		middle := low + (high-low)/2
		if pairsWithin(delays, middle) >= need {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// pairsWithin counts the pairs at most the limit apart, in one pass over each sorted write.
func pairsWithin(delays [][]time.Duration, limit time.Duration) int64 {
	var total int64
	for _, sorted := range delays {
		first := 0
		for i, delay := range sorted {
			for delay-sorted[first] > limit {
				first++
			}
			total += int64(i - first)
		}
	}
	return total
}

// delaysByWrite returns the sorted propagation times of each write.
func (a *Analysis) delaysByWrite() [][]time.Duration {
	delays := make([][]time.Duration, len(a.secrets.writes))
	for _, uses := range a.uses {
		for i := range uses {
			if u := &uses[i]; u.first && u.write >= 0 {
				delays[u.write] = append(delays[u.write], u.at-u.written)
			}
		}
	}
	for _, sample := range delays {
		slices.Sort(sample)
	}
	return delays
}
