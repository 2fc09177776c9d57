package kind

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// outageMax bounds the wait for the API server to be gone, and to be back.
const (
	outageMax   = 2 * time.Minute
	outageEvery = 100 * time.Millisecond
)

// killControlPlane stops the control plane's kubelet, so that nothing is started again, and kills
// what the API consists of. It prints how many processes that were, and fails if any is left. The
// kubelet forgets its back-off with its process: what it starts later it starts at once.
const killControlPlane = `systemctl stop kubelet
parts() {
	for dir in /proc/[0-9]*; do
		program=$(tr '\0' '\n' <"$dir/cmdline" 2>/dev/null | head -n 1)
		case ${program##*/} in
		etcd | kube-apiserver | kube-controller-manager | kube-scheduler) echo "${dir#/proc/}" ;;
		esac
	done
}
all=$(parts)
[ -z "$all" ] || kill -KILL $all 2>/dev/null
for i in $(seq 100); do
	left=$(parts)
	if [ -z "$left" ]; then echo "$all" | wc -w; exit; fi
	sleep 0.02
done
echo "still there: $left" >&2
exit 1`

// stopAPI performs scenarios.StopAPI.
func (c *cluster) stopAPI(ctx context.Context) (string, error) {
	n, err := c.control.sh(ctx, killControlPlane)
	if err != nil {
		return "", err
	}
	err = until(ctx, "wait for the API server to be gone", outageEvery, outageMax,
		func(ctx context.Context) (bool, error) {
			yes, _ := c.answers(ctx)
			return !yes, nil
		})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("etcd, the API server, the controllers and the scheduler have ended "+
		"(%s processes killed), and the API server does not answer", n), nil
}

// startAPI performs scenarios.StartAPI.
func (c *cluster) startAPI(ctx context.Context) (string, error) {
	begun := time.Now()
	if _, err := c.startKubelet(ctx, c.control); err != nil {
		return "", err
	}
	err := until(ctx, "wait for the API server to be back", outageEvery, outageMax, c.answers)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the API server is ready again, %s after its kubelet was started",
		time.Since(begun).Round(time.Second/10)), nil
}

// startKubelet starts a kubelet unless it runs.
func (c *cluster) startKubelet(ctx context.Context, on node) (string, error) {
	return on.sh(ctx, `systemctl start kubelet`)
}

// dnsPatch keeps the cluster's DNS on the control plane: a worker that is stopped must not take
// names away from the others.
const dnsPatch = `{"spec":{"template":{"spec":{"nodeSelector":` +
	`{"node-role.kubernetes.io/control-plane":""}}}}}`

// pinDNS applies dnsPatch as soon as kubeadm has made the Deployment.
func (c *cluster) pinDNS(ctx context.Context) error {
	return until(ctx, "find the cluster's DNS", askEvery, reachableMax,
		func(ctx context.Context) (bool, error) {
			_, err := c.client.AppsV1().Deployments("kube-system").Patch(ctx, "coredns",
				types.StrategicMergePatchType, []byte(dnsPatch), metav1.PatchOptions{})
			return err == nil, err
		})
}
