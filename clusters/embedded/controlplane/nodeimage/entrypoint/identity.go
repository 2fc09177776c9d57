package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

const (
	machineID   = "/etc/machine-id"
	productName = "/kind/product_name"
	productUUID = "/kind/product_uuid"
)

// identity gives the node what tells it from the others, once: systemd and the kubelet would
// take it from the machine, where all nodes are the same.
func identity(context.Context) error {
	for _, file := range []struct{ path, line string }{
		{machineID, strings.ReplaceAll(newUUID(), "-", "")},
		{productUUID, newUUID()},
		{productName, "kind"},
	} {
		if err := once(file.path, file.line); err != nil {
			return err
		}
	}
	for _, cover := range []struct{ by, path string }{
		{productName, "/sys/class/dmi/id/product_name"},
		{productUUID, "/sys/class/dmi/id/product_uuid"},
		{productUUID, "/sys/devices/virtual/dmi/id/product_uuid"},
	} {
		if !exists(cover.path) {
			continue // not every machine has these
		}
		if err := bind(cover.by, cover.path); err != nil {
			return err
		}
	}
	return nil
}

// once writes a line to a file that is missing or empty.
func once(path, line string) error {
	text, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(text))) > 0 {
		return nil
	}
	return os.WriteFile(path, []byte(line+"\n"), 0o444)
}

// newUUID is a random one, version 4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
}
