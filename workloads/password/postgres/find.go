package postgres

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// debian is where Debian's packages have the programs of each major version.
const debian = "/usr/lib/postgresql"

// NotFoundError says that there is no PostgreSQL server to start.
type NotFoundError struct{ Looked []string }

// Error names the places and the next step.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no PostgreSQL server in %s: apt-get install postgresql, "+
		"or give the address of one that runs", strings.Join(e.Looked, ", "))
}

// Find returns the folder of the programs of a PostgreSQL server: of the newest of Debian's
// packages, else of what is in the folders of path, a list as PATH is. The error is a
// *NotFoundError.
func Find(path string) (string, error) { return find(debian, path) }

func find(root, path string) (string, error) {
	versions, err := filepath.Glob(filepath.Join(root, "*", "bin"))
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL in %s: %w", root, err)
	}
	slices.SortFunc(versions, func(a, b string) int { return major(b) - major(a) })
	for _, dir := range append(versions, filepath.SplitList(path)...) {
		if filepath.IsAbs(dir) && complete(dir) {
			return dir, nil
		}
	}
	return "", &NotFoundError{Looked: []string{filepath.Join(root, "*", "bin"), "PATH"}}
}

// major returns the version that a folder is of, or 0.
func major(bin string) int {
	version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return version
}

// complete reports whether a folder has all that a server needs. A client's package has not.
func complete(dir string) bool {
	for _, program := range []string{"postgres", "initdb"} {
		file := filepath.Join(dir, program)
		if _, err := exec.LookPath(file); err != nil {
			return false
		}
	}
	return true
}
