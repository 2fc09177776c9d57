package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// stateFile is the file in Config.State.
const stateFile = "peer.json"

// saved is what a process leaves to the next one in the same pod.
type saved struct {
	Base      time.Time     `json:"base,omitzero"`
	Skew      time.Duration `json:"skew_ns,omitempty"`
	DownUntil time.Time     `json:"down_until,omitzero"`
	// Read is the version of the volume that was read last, if the process was told to end.
	Read string `json:"read,omitempty"`
	// Used names the last good credential, likewise.
	Used record.Generation `json:"used,omitzero"`
}

// load returns what the process before this one left, the zero value if it left nothing.
func load(folder string) (saved, error) {
	if folder == "" {
		return saved{}, nil
	}
	data, err := fs.ReadFile(os.DirFS(folder), stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return saved{}, nil
	}
	var s saved
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return saved{}, fmt.Errorf("read saved state: %w", err)
	}
	return s, nil
}

// save replaces the file as a whole, so that a process that is killed meanwhile leaves the old one.
// Without a folder it does nothing.
func (s saved) save(folder string) error {
	if folder == "" {
		return nil
	}
	if err := s.replace(filepath.Join(folder, stateFile)); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

func (s saved) replace(name string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}
