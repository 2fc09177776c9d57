// Testpod is what the end-to-end tests run in pods. `testpod watch DIR` reports every change
// of tls.crt as a row and obeys requests on port 8080; `testpod exit CODE` ends at once;
// `testpod get URL` prints an answer.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Row is one line of standard output.
type Row struct {
	Event  string    `json:"event"` // start, change, end
	At     time.Time `json:"at"`
	SHA256 string    `json:"sha256,omitempty"`
	UID    int       `json:"uid"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: testpod watch DIR | exit CODE | get URL")
		os.Exit(2)
	}
	switch os.Args[1] {
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		fmt.Println("ending with", code)
		os.Exit(code)
	case "get":
		if err := get(context.Background(), os.Stdout, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	watch(ctx, os.Args[2])
}

func watch(ctx context.Context, dir string) {
	row("start", "")
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: time.Second, Handler: handler(ctx)}
	go func() { _ = server.ListenAndServe() }() // ends with the process
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			row("end", last)
			return
		case <-tick.C:
		}
		text, err := os.ReadFile(filepath.Join(dir, "tls.crt"))
		if err != nil {
			continue
		}
		sum := sha256.Sum256(text)
		if now := hex.EncodeToString(sum[:]); now != last {
			last = now
			row("change", now)
		}
	}
}

func row(event, sum string) {
	text, _ := json.Marshal(Row{event, time.Now(), sum, os.Getuid()})
	fmt.Println(string(text))
}

func get(ctx context.Context, to io.Writer, url string) error {
	// Each call is a connection of its own, for a Service chooses a pod for each.
	client := http.Client{
		Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(to, answer.Body)
	return err
}
