package rotator

import (
	"context"
	"fmt"
	"slices"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// The bounds of what is shown: messages name a few, the status lists some, and counts all.
const (
	lateShown    = 20
	lateTold     = 10
	problemsTold = 20
	noteMax      = 1000  // bytes of an event's note, which may have 1024
	messageMax   = 30000 // bytes of a condition's message, which may have 32768
)

// tell shows a Decision in the status, the metrics and, when a halt begins or ends, an event.
func (r *reconciler) tell(ctx context.Context, v *view, d rotation.Decision) error {
	rs := v.rs
	before := rs.Status.DeepCopy()
	late := lateOf(d, v.answers)
	r.metrics.show(v.key(), d, len(late))
	s := &rs.Status
	s.ObservedGeneration = rs.Generation
	s.NextStepTime = atSecond(d.Until)
	s.LateCount, s.Late = int64(len(late)), late[:min(len(late), lateShown)]
	if v.state != nil {
		s.Managed = true
	}
	if d.Next.Phase != "" {
		s.Phase, s.LastRotationTime = string(d.Next.Phase), atSecond(d.Next.Rotated)
	}
	if v.secret != nil || v.refusal == nil {
		ring, _ := rotation.ReadRing(rotation.Names(v.files()))
		s.Primary, s.IDs = ring.Primary, ring.IDs
	}
	for _, c := range shortened(d, len(late)).Conditions() {
		status := meta.ConditionFalse
		if c.Status {
			status = meta.ConditionTrue
		}
		apimeta.SetStatusCondition(&s.Conditions, meta.Condition{
			Type: string(c.Type), Status: status, Reason: string(c.Reason),
			Message: cut(c.Message, messageMax), ObservedGeneration: rs.Generation,
			LastTransitionTime: meta.NewTime(r.now()),
		})
	}
	if equality.Semantic.DeepEqual(before, s) {
		return nil
	}
	if err := r.client.Status().Update(ctx, rs); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	r.announce(rs, before)
	return nil
}

// announce tells of a halt that began, ended, or is now for another reason.
func (r *reconciler) announce(rs *api.RotatingSecret, before *api.RotatingSecretStatus) {
	halted := string(rotation.Halted)
	was := apimeta.FindStatusCondition(before.Conditions, halted)
	is := apimeta.FindStatusCondition(rs.Status.Conditions, halted)
	wasHalted := was != nil && was.Status == meta.ConditionTrue
	switch {
	case is.Status == meta.ConditionTrue && (!wasHalted || was.Reason != is.Reason):
		r.say(rs, nil, event{
			core.EventTypeWarning, is.Reason, string(rotation.Halt), is.Message,
		})
	case is.Status == meta.ConditionFalse && wasHalted:
		r.say(rs, nil, event{core.EventTypeNormal, "HaltEnded", "Resume", is.Message})
	}
}

// taken tells of a step that was written.
func (r *reconciler) taken(v *view, d rotation.Decision) {
	if d.Action == rotation.Wait || d.Action == rotation.Halt {
		return // only remembered something
	}
	if d.ID == "" { // was drawn only when it was made
		d.ID = d.Next.Next
		if d.Action == rotation.Create {
			d.ID = d.Next.Primary
		}
	}
	r.metrics.step(v.key(), d.Action)
	r.say(v.rs, v.secret, event{
		core.EventTypeNormal, string(d.Action), string(d.Reason), d.Message(),
	})
}

// event is something that people are told once.
type event struct{ kind, reason, action, note string }

// say tells people what happened: in an event beside the RotatingSecret, which does not last, and
// in a line of the log.
func (r *reconciler) say(rs *api.RotatingSecret, related runtime.Object, e event) {
	r.events.Eventf(rs, related, e.kind, e.reason, e.action, "%s", cut(e.note, noteMax))
	r.log.Info(e.note, "rotatingsecret", rs.Namespace+"/"+rs.Name, "reason", e.reason)
}

// lateOf returns each late consumer once.
func lateOf(d rotation.Decision, answers []answer) []api.LateConsumer {
	late := make([]api.LateConsumer, len(d.Late))
	for i, l := range d.Late {
		late[i] = api.LateConsumer{Consumer: l.Consumer, Why: string(l.Why)}
		for _, a := range answers {
			if a.consumer == l.Consumer && l.Why == rotation.Silent {
				late[i].Detail = a.silence()
			}
		}
	}
	return slices.CompactFunc(late, func(a, b api.LateConsumer) bool {
		return a.Consumer == b.Consumer
	})
}

// shortened returns a Decision whose message can be read.
func shortened(d rotation.Decision, late int) rotation.Decision {
	d.Late = slices.CompactFunc(slices.Clone(d.Late), func(a, b rotation.Late) bool {
		return a.Consumer == b.Consumer
	})
	d.Late = d.Late[:min(len(d.Late), lateTold)]
	if more := late - len(d.Late); more > 0 {
		d.Late = append(d.Late, rotation.Late{
			Consumer: fmt.Sprintf("and %d more", more), Why: "see status.late",
		})
	}
	if more := len(d.Problems) - problemsTold; more > 0 {
		d.Problems = append(slices.Clone(d.Problems[:problemsTold]), rotation.Problem{
			What: fmt.Sprintf("and %d more", more),
		})
	}
	return d
}

// cut shortens a text by whole characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most - len("…")
	for end > 0 && text[end]&0xc0 == 0x80 {
		end--
	}
	return text[:end] + "…"
}

// atSecond returns a time as the API has it, or nil.
func atSecond(at time.Time) *meta.Time {
	if at.IsZero() {
		return nil
	}
	t := meta.NewTime(at.UTC().Truncate(time.Second))
	return &t
}
