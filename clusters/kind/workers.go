package kind

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/scenarios"
)

// bootMax bounds the wait for a node that was started.
const bootMax = 2 * time.Minute

// stopNode performs scenarios.StopNode: everything on the node ends at once, nothing in order.
func (c *cluster) stopNode(
	ctx context.Context, worker node, action scenarios.Action,
) (string, error) {
	c.network.leave(worker.String())
	if _, err := c.engine.do(ctx, "kill", worker.String()); err != nil {
		return "", errors.Join(err, c.network.enter(ctx, worker.String()))
	}
	err := until(ctx, "stop "+action.Node, kubeletEvery, bootMax,
		func(ctx context.Context) (bool, error) {
			running, err := c.engine.running(ctx, worker.String())
			return !running, err
		})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the container %s of %s has ended", worker, action.Node), nil
}

// startNode performs scenarios.StartNode. That a node is ready counts once its new kubelet says so:
// for a while the API tells what the old one said.
func (c *cluster) startNode(
	ctx context.Context, worker node, action scenarios.Action,
) (string, error) {
	var before metav1.Time
	err := until(ctx, "look at node "+action.Node, kubeletEvery, bootMax,
		func(ctx context.Context) (bool, error) {
			running, problem := c.engine.running(ctx, worker.String())
			if problem != nil || running {
				return running, problem // nothing was stopped
			}
			now, problem := c.client.CoreV1().Nodes().Get(ctx, worker.String(),
				metav1.GetOptions{})
			if problem == nil {
				before = readiness(now).LastHeartbeatTime
			}
			return problem == nil, problem
		})
	if err != nil {
		return "", err
	}
	begun := time.Now()
	err = until(ctx, "start "+action.Node, askEvery, bootMax,
		func(ctx context.Context) (bool, error) {
			if problem := c.boot(ctx, worker); problem != nil {
				return false, problem
			}
			now, problem := c.client.CoreV1().Nodes().Get(ctx, worker.String(),
				metav1.GetOptions{})
			if problem != nil {
				return false, problem
			}
			condition := readiness(now)
			return condition.Status == corev1.ConditionTrue &&
				!condition.LastHeartbeatTime.Equal(&before), nil
		})
	if err != nil {
		return "", err
	}
	if err := c.network.enter(ctx, worker.String()); err != nil {
		return "", err
	}
	return fmt.Sprintf("the Node %s of %s is ready again, %s after its container was started",
		worker, action.Node, time.Since(begun).Round(time.Second/10)), nil
}

// boot starts a node's container unless it runs: one that lacks something of the machine ends
// again.
func (c *cluster) boot(ctx context.Context, worker node) error {
	running, err := c.engine.running(ctx, worker.String())
	if err == nil && !running {
		_, err = c.engine.do(ctx, "start", worker.String())
	}
	return err
}
