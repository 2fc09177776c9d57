package cluster

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Config describes one cluster. It is read as one JSON object.
type Config struct {
	// Dir takes the kubeconfig and all logs; it is made if need be.
	Dir   string `json:"dir"`
	Nodes []Node `json:"nodes"`
	// Images maps names without tags to static executables of this machine.
	Images map[string]string `json:"images"`
	// Services is how cluster addresses work: "kube-proxy", "relay" or, where it is empty,
	// kube-proxy if the machine has nft and else the relay.
	Services string `json:"services"`
}

// Node describes one kubelet.
type Node struct {
	Name string `json:"name"`
	Settings
}

// Settings are what may be changed while containers go on.
type Settings struct {
	SyncFrequency   Duration `json:"syncFrequency"`   // 1m if empty
	ChangeDetection string   `json:"changeDetection"` // Watch if empty
}

// Duration is written as 90s.
type Duration time.Duration

// UnmarshalText reads a duration; zero stands for an empty field.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	if err == nil && value < 0 {
		err = fmt.Errorf("duration %s is negative", text)
	}
	*d = Duration(value)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// ReadConfig reads the configuration from a file or, where path is "-", from the next line of
// in. It reports everything that is wrong at once.
func ReadConfig(path string, in *bufio.Reader) (Config, error) {
	text, err := readText(path, in)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	var config Config
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	for i := range config.Nodes {
		config.Nodes[i].fill(Settings{Duration(time.Minute), "Watch"})
	}
	if err := config.validate(); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return config, nil
}

func readText(path string, in *bufio.Reader) ([]byte, error) {
	if path != "-" {
		return os.ReadFile(path)
	}
	line, err := in.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return line, nil
	}
	return line, err
}

// fill sets what is empty.
func (s *Settings) fill(from Settings) {
	if s.SyncFrequency == 0 {
		s.SyncFrequency = from.SyncFrequency
	}
	if s.ChangeDetection == "" {
		s.ChangeDetection = from.ChangeDetection
	}
}

func (s Settings) validate() error {
	switch s.ChangeDetection {
	case "Watch", "Cache", "Get":
		return nil
	}
	return fmt.Errorf("changeDetection %q is none of Watch, Cache, Get", s.ChangeDetection)
}

func (c Config) validate() error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(format, args...))
	}
	if !filepath.IsAbs(c.Dir) {
		add("dir %q is not absolute", c.Dir)
	}
	if inside(c.Dir, scratch) {
		add("dir %q lies below %s, which the cluster covers", c.Dir, scratch)
	}
	if len(c.Nodes) == 0 || len(c.Nodes) > nodesMax {
		add("%d nodes: need 1 to %d", len(c.Nodes), nodesMax)
	}
	name, seen := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`), map[string]bool{}
	for i, node := range c.Nodes {
		if !name.MatchString(node.Name) || seen[node.Name] {
			add("nodes[%d].name: %q is no DNS label, or is taken", i, node.Name)
		}
		seen[node.Name] = true
		if err := node.validate(); err != nil {
			add("nodes[%d].%w", i, err)
		}
	}
	for image, program := range c.Images {
		if info, err := os.Stat(program); err != nil {
			add("images[%q]: %w", image, err)
		} else if !filepath.IsAbs(program) || info.Mode()&0o111 == 0 {
			add("images[%q]: %s is no absolute path of an executable", image, program)
		}
	}
	switch c.Services {
	case "", kubeProxy, relay:
	default:
		add("services %q is neither kube-proxy nor relay", c.Services)
	}
	return errors.Join(problems...)
}

func inside(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(relative)
}
