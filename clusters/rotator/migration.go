package rotator

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/certquake/certquake/workloads/rotation"
)

// readJobs lists the Jobs of all migrations.
func (r *reconciler) readJobs(ctx context.Context, v *view) error {
	list := &batch.JobList{}
	err := r.client.List(ctx, list, client.InNamespace(v.rs.Namespace),
		client.MatchingLabels{ownerLabel: string(v.rs.UID)})
	if err != nil {
		return fmt.Errorf("list the migrations: %w", err)
	}
	v.jobs = list.Items
	return nil
}

// current returns the move that the State is about, whether it has begun or not.
func (v *view) current() (move, bool) {
	s := v.state
	if v.asked.job == nil || s == nil ||
		s.Phase != rotation.Retiring && s.Phase != rotation.Migrating {
		return move{}, false
	}
	return move{from: s.Retiring, to: s.Primary, attempt: s.Attempt}, true
}

// migration tells how the current move ended, if it did.
func (v *view) migration() rotation.Migration {
	m, ok := v.current()
	if !ok {
		return rotation.Migration{}
	}
	i := slices.IndexFunc(v.jobs, func(job batch.Job) bool {
		return job.Name == jobName(v.rs, m) && job.DeletionTimestamp.IsZero()
	})
	if i < 0 {
		return rotation.Migration{}
	}
	return rotation.Migration{
		From: m.from, To: m.to, Attempt: m.attempt,
		Done:   ended(&v.jobs[i], batch.JobComplete),
		Failed: ended(&v.jobs[i], batch.JobFailed),
	}
}

// ended reports whether a Job ended in that way, or in any if none is given.
func ended(job *batch.Job, ways ...batch.JobConditionType) bool {
	if len(ways) == 0 {
		ways = []batch.JobConditionType{batch.JobComplete, batch.JobFailed}
	}
	return slices.ContainsFunc(job.Status.Conditions, func(c batch.JobCondition) bool {
		return c.Status == core.ConditionTrue && slices.Contains(ways, c.Type)
	})
}

// stopOthers deletes the Jobs of other moves. One that has ended stays to be looked at until the
// next rotation.
func (r *reconciler) stopOthers(ctx context.Context, v *view) error {
	if v.state == nil {
		return nil
	}
	keep := ""
	if m, ok := v.current(); ok {
		keep = jobName(v.rs, m)
	}
	for i := range v.jobs {
		job := &v.jobs[i]
		done := ended(job) && v.state.Phase == rotation.Steady
		if job.Name == keep || done || !job.DeletionTimestamp.IsZero() {
			continue
		}
		// In the foreground, so that the Job is there for as long as a pod of it is.
		err := r.client.Delete(ctx, job, client.PropagationPolicy(meta.DeletePropagationForeground),
			client.Preconditions{UID: &job.UID})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("stop an earlier migration: %w", err)
		}
		r.log.Info("stop Job "+job.Name+": it is of an earlier migration",
			"rotatingsecret", v.key().String())
	}
	return nil
}

// migrate sees to it that the Job of a Decision is there, and none beside it.
func (r *reconciler) migrate(ctx context.Context, v *view, d rotation.Decision) error {
	if len(v.jobs) > 0 { // the Job itself, or earlier ones that have to stop first
		return nil
	}
	job := v.job(move{from: d.From, to: d.To, attempt: d.Attempt})
	if err := controllerutil.SetControllerReference(v.rs, job, r.client.Scheme()); err != nil {
		return fmt.Errorf("own the migration: %w", err)
	}
	if err := r.client.Create(ctx, job); err != nil {
		return fmt.Errorf("start the migration: %w", err)
	}
	r.log.Info("start Job "+job.Name+": "+d.Message(), "rotatingsecret", v.key().String())
	return nil
}

// job makes the Job of a move from the template.
func (v *view) job(m move) *batch.Job {
	template := v.asked.job.DeepCopy()
	job := &batch.Job{ObjectMeta: named(v.rs, jobName(v.rs, m)), Spec: template.Spec}
	job.Labels, job.Annotations = template.Labels, template.Annotations
	if job.Labels == nil {
		job.Labels = map[string]string{}
	}
	job.Labels[ownerLabel] = string(v.rs.UID)
	// A Job that removes itself takes its outcome along.
	job.Spec.TTLSecondsAfterFinished = nil
	pod := &job.Spec.Template.Spec
	if pod.RestartPolicy == "" {
		pod.RestartPolicy = core.RestartPolicyNever
	}
	variables := []core.EnvVar{
		{Name: fromVariable, Value: m.from},
		{Name: toVariable, Value: m.to},
		{Name: attemptVariable, Value: strconv.FormatInt(m.attempt, 10)},
		{Name: secretVariable, Value: v.asked.secret},
	}
	for _, containers := range [][]core.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			// First, so that the template's own may refer to them.
			containers[i].Env = append(slices.Clone(variables), containers[i].Env...)
		}
	}
	return job
}
