package kind

import (
	"context"
	"fmt"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reach waits until a node reaches the Service $1 on the port of name servers, and then, for a
// while, until it has routes to the ranges that follow. Not every network plugin makes such.
const reach = `service=$1; shift
until timeout 1 bash -c "exec 3<>/dev/tcp/$service/53" 2>/dev/null; do sleep 0.2; done
for range; do
  for _ in $(seq 50); do
    ip route show "$range" | grep -q . && break
    sleep 0.2
  done
done`

// awaitNetwork waits until every worker reaches the cluster's name servers and the pods of all
// other nodes. A node is ready before its Services and routes are: pods that begin then fail in
// their first seconds, which no fault has to do with.
func (c *cluster) awaitNetwork(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, joinedMax, fmt.Errorf(
		"not every node reached the cluster's name servers within %s", joinedMax))
	defer cancel()
	service, err := c.client.CoreV1().Services("kube-system").Get(ctx, "kube-dns",
		meta.GetOptions{})
	if err != nil {
		return fmt.Errorf("find the cluster's name servers: %w", err)
	}
	list, err := c.client.CoreV1().Nodes().List(ctx, meta.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	var tasks []func(context.Context) error
	for _, worker := range c.workers {
		args := []string{service.Spec.ClusterIP}
		for i := range list.Items {
			if other := &list.Items[i]; other.Name != worker.String() && other.Spec.PodCIDR != "" {
				args = append(args, other.Spec.PodCIDR)
			}
		}
		tasks = append(tasks, func(ctx context.Context) error {
			_, err := worker.sh(ctx, reach, args...)
			return err
		})
	}
	return all(ctx, tasks...)
}
