//go:build embedded

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// What must be reached. Times hold on an idle machine with two cores, so only memory, which
// does not depend on who else is working, fails the test.
const (
	issuingMax = 6 * time.Second
	nodesMax   = 10 * time.Second
	memoryMax  = 700 << 20
)

// TestFigures starts a cluster of three nodes, gives it forty pods, and prints one table.
func TestFigures(t *testing.T) {
	bin := programs(t)
	config := cluster.Config{
		Dir: t.TempDir(), Images: map[string]string{testImage: testpod(t)},
		Nodes: []cluster.Node{
			node("one", time.Minute), node("two", time.Minute), node("three", time.Minute),
		},
	}
	load, err := os.ReadFile("/proc/loadavg")
	require.NoError(t, err)
	r := start(t, bin, config)
	api := connect(t, r.ready.Kubeconfig)
	time.Sleep(10 * time.Second) // until the work of the start is done
	idle := memory(r.must(cluster.Command{Do: "status"}).Bytes)
	_, err = api.kube.CoreV1().Secrets("default").Create(t.Context(), &core.Secret{
		ObjectMeta: meta.ObjectMeta{Name: "empty"},
	}, meta.CreateOptions{})
	require.NoError(t, err)
	api.deploy(testImage, "empty", 0)
	up := api.scale(40)
	busy := memory(r.must(cluster.Command{Do: "status"}).Bytes)
	down := api.scale(0)
	began := time.Now()
	require.NoError(t, r.input.Close())
	require.NoError(t, r.command.Wait())
	ended := time.Since(began)

	var table bytes.Buffer
	writer := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	row := func(what, got, wanted string) {
		_, _ = fmt.Fprintf(writer, "%s\t%s\t%s\n", what, got, wanted)
	}
	startup := r.ready.Startup
	row("figure", "measured", "wanted")
	row("API server ready", seconds(startup.API), "")
	row("cert-manager issues", seconds(startup.Issuing), "< "+seconds(issuingMax))
	row("3 nodes ready", seconds(startup.Nodes), "< "+seconds(nodesMax))
	row("40 pods ready on 3 nodes", seconds(up), "")
	row("40 pods gone", seconds(down), "")
	row("memory, idle, 3 nodes", megabytes(idle), "< "+megabytes(memoryMax))
	row("memory, 40 pods, without theirs", megabytes(busy), "")
	row("end", seconds(ended), "")
	row("Services by", r.ready.Services, "")
	row("load before (idle: 0)", strings.Fields(string(load))[0], "")
	require.NoError(t, writer.Flush())
	t.Logf("\n%s", table.String())
	assert.Less(t, idle, int64(memoryMax))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func megabytes(size int64) string { return fmt.Sprintf("%d MB", size>>20) }

// memory adds up what the parts use, shared pages by their share.
func memory(parts map[string]int64) int64 {
	total := int64(0)
	for _, size := range parts {
		total += size
	}
	return total
}
