package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Place tells what a process may do where it is.
type Place struct {
	UID    int               `json:"uid"`
	Status map[string]string `json:"status"` // of /proc/self/status
}

// handler obeys what a test asks for. Every answer is one text or one JSON object.
func handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	do := func(path string, obey func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(path, func(to http.ResponseWriter, from *http.Request) {
			if err := obey(to, from); err != nil {
				http.Error(to, err.Error(), http.StatusTeapot)
			}
		})
	}
	do("GET /", func(to http.ResponseWriter, _ *http.Request) error {
		_, err := fmt.Fprintln(to, os.Getenv("HOSTNAME"))
		return err
	})
	do("POST /echo", func(to http.ResponseWriter, from *http.Request) error {
		text, err := io.ReadAll(from.Body) // all of it first: HTTP/1 takes turns
		if err == nil {
			_, err = to.Write(text)
		}
		return err
	})
	do("POST /exit", func(_ http.ResponseWriter, from *http.Request) error {
		code, err := strconv.Atoi(from.FormValue("code"))
		row("exit", "")
		time.AfterFunc(50*time.Millisecond, func() { // let the answer leave first
			row("end", "")
			os.Exit(code)
		})
		return err
	})
	do("POST /print", printLines)
	do("POST /write", func(_ http.ResponseWriter, from *http.Request) error {
		return os.WriteFile(from.FormValue("path"), []byte(from.FormValue("text")), 0o600)
	})
	do("GET /read", func(to http.ResponseWriter, from *http.Request) error {
		text, err := os.ReadFile(from.FormValue("path"))
		if err == nil {
			_, err = to.Write(text)
		}
		return err
	})
	do("GET /get", func(to http.ResponseWriter, from *http.Request) error {
		return get(from.Context(), to, from.FormValue("url"))
	})
	do("GET /place", place)
	do("GET /resolve", func(to http.ResponseWriter, from *http.Request) error {
		answer := resolve(from.Context(), from.FormValue("network"), from.FormValue("name"))
		return json.NewEncoder(to).Encode(answer)
	})
	var watch nameWatch
	do("POST /follow", func(_ http.ResponseWriter, from *http.Request) error {
		go watch.follow(ctx, from.FormValue("name")) // ends with the process
		return nil
	})
	do("GET /followed", func(to http.ResponseWriter, _ *http.Request) error {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		return json.NewEncoder(to).Encode(&watch)
	})
	return mux
}

// printLines prints numbered lines of a given length.
func printLines(_ http.ResponseWriter, from *http.Request) error {
	count, err := strconv.Atoi(from.FormValue("count"))
	if err != nil {
		return err
	}
	length, err := strconv.Atoi(from.FormValue("length"))
	if err != nil {
		return err
	}
	filler := strings.Repeat("x", length)
	for i := range count {
		if _, err := fmt.Printf("line %d %s\n", i, filler); err != nil {
			return err
		}
	}
	return nil
}

func place(to http.ResponseWriter, _ *http.Request) error {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	return json.NewEncoder(to).Encode(Place{UID: os.Getuid(), Status: status})
}
