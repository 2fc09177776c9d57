package sim

import (
	"container/heap"
	"time"
)

// event is something that happens at an offset. Events of one instant happen in the order they were
// scheduled in, so a run never depends on how the heap breaks ties.
type event struct {
	at  time.Duration
	seq uint64
	do  func() error
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }

func (h eventHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].seq < h[j].seq
}

func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *eventHeap) Push(x any) { *h = append(*h, x.(event)) }

// Pop implements heap.Interface.
func (h *eventHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return last
}

// clock is virtual time: it jumps from event to event.
type clock struct {
	now    time.Duration
	seq    uint64
	events eventHeap
}

// at schedules do at the offset, or now if that has passed.
func (c *clock) at(offset time.Duration, do func() error) {
	c.seq++
	heap.Push(&c.events, event{at: max(offset, c.now), seq: c.seq, do: do})
}

// step performs the next event up to the limit and reports whether there was one.
func (c *clock) step(limit time.Duration) (bool, error) {
	if len(c.events) == 0 || c.events[0].at > limit {
		return false, nil
	}
	next := heap.Pop(&c.events).(event)
	c.now = next.at
	return true, next.do()
}
