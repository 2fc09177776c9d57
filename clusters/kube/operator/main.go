package operator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/certquake/certquake/clusters/rotator"
)

const (
	// argument tells a program that it is to be an operator. No other program has such a flag, so
	// one that does not call Main ends at once.
	argument = "-certquake-operator"
	// word is the line by which the process says that it works.
	word = "certquake operator: works"
	// pollEvery is how often consumers are asked during a rotation.
	pollEvery = time.Second
	// askEvery is the time between two questions whether the operator works yet.
	askEvery = 50 * time.Millisecond
)

// Main is the operator if the process was started as one, and does not return then. Else it does
// nothing.
func Main() {
	if len(os.Args) != 2 || os.Args[1] != argument {
		return
	}
	err := operate(os.Stdin, os.Stdout)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "certquake operator:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// operate rotates what it is told to on in, until in ends.
func operate(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read what to rotate: %w", err)
	}
	var told order
	if err = json.Unmarshal(text, &told); err != nil {
		return fmt.Errorf("read what to rotate: %w", err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(told.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read how to reach the cluster: %w", err)
	}
	config.QPS = -1 // the API server has priorities of its own
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	health, err := freeAddress()
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		os.Exit(0) // whoever started it is gone; nothing is cleaned up, as by a kill
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go tell(ctx, "http://"+health+"/readyz", out)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	klog.SetLogger(logr.Discard())
	return rotator.Run(ctx, config, rotator.Options{
		Namespaces: told.Namespaces, NoLeaderElection: true, HealthAddress: health,
		Poll: pollEvery, Logger: logr.FromSlogHandler(log.Handler()),
		Ask: byAPI{client, told.Namespaces},
	})
}

// freeAddress returns an address of this machine alone that nobody listens at.
func freeAddress() (string, error) {
	listening := net.ListenConfig{}
	listener, err := listening.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find an address for health: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// tell says on out that the operator works, as soon as it says so itself.
func tell(ctx context.Context, address string, out io.Writer) {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		if works(ctx, address) {
			_, _ = fmt.Fprintln(out, word)
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func works(ctx context.Context, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	return err == nil && errors.Join(response.Body.Close()) == nil &&
		response.StatusCode == http.StatusOK
}
