package operator

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

// An operator that cannot begin ends, and says why.
func TestNeverBegins(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := Start(t.Context(), &rest.Config{Host: server.URL}, []string{"shop"})
	require.ErrorContains(t, err, "start the operator that rotates keys: it ended: exit status 1")
	require.ErrorContains(t, err, "the cluster has no RotatingSecrets")
}

// asked counts the requests to a server that answers when it is told to.
func asked(t *testing.T) (address string, first <-chan struct{}) {
	t.Helper()
	came, release := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		came <- struct{}{}
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(func() { close(release) })
	return server.URL, came
}

// Whoever waits for an operator may stop waiting, which ends it.
func TestInterrupted(t *testing.T) {
	address, first := asked(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		<-first
		cancel(enough)
	}()
	_, err := Start(ctx, &rest.Config{Host: address}, []string{"shop"})
	require.ErrorIs(t, err, enough)
}

// The process ends with whoever holds its life line, and a kill leaves nothing of it.
func TestEnds(t *testing.T) {
	for name, end := range map[string]func(*Process){
		"killed":    (*Process).Kill,
		"abandoned": func(p *Process) { _ = p.life.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			address, first := asked(t)
			text, err := kubeconfig(&rest.Config{Host: address})
			require.NoError(t, err)
			p, err := launch(t.Context(), order{Kubeconfig: text, Namespaces: []string{"shop"}})
			require.NoError(t, err)
			<-first
			end(p)
			select {
			case <-p.Ended():
			case <-time.After(10 * time.Second): // by itself it would end after 15
				t.Fatal("it goes on")
			}
			assert.Error(t, p.Cause())
		})
	}
}

// What is written down reaches the cluster as the configuration does that it was made of.
func TestKubeconfig(t *testing.T) {
	through, err := url.Parse("http://proxy.example:3128")
	require.NoError(t, err)
	config := &rest.Config{
		Host: "https://api.example:6443", BearerToken: "t",
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: "api", CAData: []byte("ca"),
			CertData: []byte("cert"), KeyData: []byte("key"),
		},
		Impersonate: rest.ImpersonationConfig{UserName: "u", Groups: []string{"g"}},
		ExecProvider: &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "login",
			InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		},
		Proxy: http.ProxyURL(through),
	}
	text, err := kubeconfig(config)
	require.NoError(t, err)
	got, err := clientcmd.RESTConfigFromKubeConfig(text)
	require.NoError(t, err)
	assert.Equal(t, config.Host, got.Host)
	assert.Equal(t, config.TLSClientConfig, got.TLSClientConfig)
	assert.Equal(t, "u", got.Impersonate.UserName)
	assert.Equal(t, []string{"g"}, got.Impersonate.Groups)
	assert.Equal(t, "login", got.ExecProvider.Command)
	assert.Equal(t, "t", got.BearerToken)
	used, err := got.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: "api.example:6443"}})
	require.NoError(t, err)
	assert.Equal(t, through, used)

	_, err = kubeconfig(&rest.Config{Transport: http.DefaultTransport})
	assert.ErrorIs(t, err, errBound)
}
