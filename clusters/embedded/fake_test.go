//go:build linux

package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/clusters/kube/operator"
	"github.com/certquake/certquake/clusters/programs/programstest"
	"github.com/certquake/certquake/scenarios"
)

// ownerVariable names the folder of the programs to an owner, see TestMain.
const ownerVariable = "CERTQUAKE_EMBEDDED_OWNER"

// TestMain is also the control plane of the tests, this program under another name, the owner of a
// real cluster that one of them kills, and the operator that rotates keys.
func TestMain(m *testing.M) {
	operator.Main()
	if filepath.Base(os.Args[0]) == programControlPlane {
		os.Exit(fakeControlPlane())
	}
	if bin := os.Getenv(ownerVariable); bin != "" {
		own(bin)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// own brings a cluster up, says where its kubeconfig is and waits to be killed. It returns only
// where something failed.
func own(bin string) {
	target, err := Up(context.Background(), nodes("one"), Options{
		Bin: bin, Images: map[string]string{Image: filepath.Join(bin, programContainer)},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "owner:", err)
		return
	}
	fmt.Println("up: " + target.Kubeconfig)
	<-target.Broken
}

// fakeControlPlane speaks the protocol. How it misbehaves is the name of its first node.
func fakeControlPlane() int {
	in := bufio.NewReader(os.Stdin)
	text, _ := in.ReadBytes('\n')
	var first config
	if err := json.Unmarshal(text, &first); err != nil {
		fmt.Printf(`{"event":"failed","error":%q}`+"\n", err.Error())
		return 1
	}
	manner := first.Nodes[0].Name
	_, _ = fmt.Fprintln(os.Stderr, "controlplane:   0.00s starting as", manner)
	switch manner {
	case "refuses":
		fmt.Println(`{"event":"failed","error":"the kernel says no: sysctl -w a.b=1"}`)
		return 1
	case "dies":
		_ = os.MkdirAll(filepath.Join(first.Dir, "logs", "one"), 0o755)
		return 7
	case "silent":
		_, _ = io.Copy(io.Discard, in)
		return 0
	case "garbage":
		fmt.Println("\x00\xff{]")
		fmt.Println(strings.Repeat("x", lineMax+lineMax/2))
		fmt.Println(`{"event":"answer","id":"99","ok":true}`)
		fmt.Println(`{"event":"news"}`)
	}
	path := filepath.Join(first.Dir, "kubeconfig")
	_ = os.WriteFile(path, []byte(fakeKubeconfig), 0o600)
	fmt.Printf(`{"event":"ready","kubeconfig":%q,"server":"https://127.0.0.1:1",`+
		`"versions":{"kubernetes":"v1","cert-manager":"v2"},"memory_bytes":{"a":1048576}}`+"\n",
		path)
	return fakeObey(in, manner)
}

// fakeObey answers commands, the first two in reverse order if the manner says so.
func fakeObey(in *bufio.Reader, manner string) int {
	var held string
	for {
		text, err := in.ReadBytes('\n')
		if err != nil && manner == "stubborn" {
			time.Sleep(time.Hour)
		}
		if err != nil {
			return 0
		}
		var c command
		_ = json.Unmarshal(text, &c)
		answer := fmt.Sprintf(`{"event":"answer","id":%q,"do":%q,"ok":true,"took_ns":1500000}`,
			c.ID, c.Do)
		switch {
		case manner == "reverse" && held == "":
			held = answer
			continue
		case c.Do == "stop-webhook":
			answer = fmt.Sprintf(`{"event":"answer","id":%q,"do":%q,"error":"not now"}`, c.ID, c.Do)
		case c.Do == "stop-apiserver":
			fmt.Println(`{"event":"failed","error":"etcd: ended by itself (its log is here)"}`)
			return 1
		case c.Do == "start-apiserver":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case c.Do == "start-webhook":
			continue // never answers
		}
		if held != "" {
			answer, held = answer+"\n"+held, ""
		}
		fmt.Println(answer)
	}
}

const fakeKubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`

// fakePrograms makes a folder with the fake control plane. The other two programs are real enough
// to pass the checks.
func fakePrograms(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(bin, programControlPlane)))
	for _, name := range []string{programContainer, programWorkload} {
		require.NoError(t, programstest.ELF{}.Write(filepath.Join(bin, name)))
	}
	return bin
}

// nodes are planned nodes with default settings.
func nodes(names ...string) []scenarios.PlannedNode {
	var planned []scenarios.PlannedNode
	for _, name := range names {
		planned = append(planned, scenarios.PlannedNode{
			Name: name, SyncFrequency: time.Minute, ChangeDetection: scenarios.Watch,
		})
	}
	return planned
}
