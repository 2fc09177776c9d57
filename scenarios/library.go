package scenarios

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed library/*.yaml
var library embed.FS

// ErrUnknownScenario is wrapped by Open's error for a name that is not in the library.
var ErrUnknownScenario = errors.New("no such scenario in the library")

// Library returns the folder of the scenarios that come with certquake, and of their manifests.
func Library() fs.FS {
	files, err := fs.Sub(library, "library")
	if err != nil {
		panic(err) // the path is valid
	}
	return files
}

// Names returns the names of the library's scenarios, sorted.
func Names() []string {
	files := Library()
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // it is embedded
	}
	var names []string
	for _, entry := range entries {
		data, err := fs.ReadFile(files, entry.Name())
		if err != nil {
			panic(err) // it is embedded
		}
		if IsScenario(data) {
			names = append(names, strings.TrimSuffix(entry.Name(), ".yaml"))
		}
	}
	return names
}

// Open returns the library's scenario of that name, with its parameters overridden by set. Its
// error wraps ErrUnknownScenario, or is Problems if set does not fit.
func Open(name string, set map[string]string) (*Scenario, error) {
	data, err := Read(name)
	if err != nil {
		return nil, err
	}
	return Parse(name+".yaml", data, Library(), set)
}

// Read returns the text of the library's scenario of that name. Its error wraps ErrUnknownScenario.
func Read(name string) ([]byte, error) {
	data, err := fs.ReadFile(Library(), name+".yaml")
	if err == nil && IsScenario(data) {
		return data, nil
	}
	if hint := didYouMean(name, Names()); hint != "" {
		return nil, fmt.Errorf("%w: %q; %s", ErrUnknownScenario, name, hint)
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownScenario, name)
}
