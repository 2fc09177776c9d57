package scenarios

import (
	"strings"
)

// collector gathers problems, and knows on which line of which file each path was written.
type collector struct {
	scenario string // the scenario's file name
	lines    map[place]int
	seen     map[place]bool
	broken   map[place]bool // mappings and lists that are something else
	unknown  map[place]bool // mappings with a key that is no field
	problems Problems
}

// place is a path in a file.
type place struct{ file, path string }

func newCollector(scenario string) *collector {
	return &collector{
		scenario: scenario, lines: map[place]int{}, seen: map[place]bool{},
		broken: map[place]bool{}, unknown: map[place]bool{},
	}
}

// mark notes that the value at path is written on line.
func (c *collector) mark(file, path string, line int) { c.lines[place{file, path}] = line }

// marked reports whether path was written out in the file.
func (c *collector) marked(file, path string) bool {
	_, ok := c.lines[place{file, path}]
	return ok
}

// add gathers a problem at path. Only the first problem of a path is kept: a value that could not
// be read would otherwise be reported again by every check that looks at it.
func (c *collector) add(file, path, what, hint string) {
	c.addAt(c.line(file, path), file, path, what, hint)
}

// addAt gathers a problem whose line is known.
func (c *collector) addAt(line int, file, path, what, hint string) {
	if c.seen[place{file, path}] || c.within(file, path) {
		return
	}
	c.seen[place{file, path}] = true
	if file == c.scenario {
		path = strings.TrimPrefix(path, "spec.")
	}
	c.problems = append(c.problems, Problem{file, line, path, what, hint})
}

// sound reports whether nothing is wrong with the value at path below spec.
func (c *collector) sound(path string) bool {
	return !c.seen[place{c.scenario, join("spec", path)}]
}

// within reports whether path is inside of a value that could not be read at all.
func (c *collector) within(file, path string) bool {
	for path != "" {
		path = parent(path)
		if c.broken[place{file, path}] {
			return true
		}
	}
	return false
}

// parent returns the path that a path is directly below.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// line returns where path, or else the nearest of its parents, was written.
func (c *collector) line(file, path string) int {
	for {
		if line, ok := c.lines[place{file, path}]; ok {
			return line
		}
		if path == "" {
			return 0
		}
		path = parent(path)
	}
}

// err returns the problems as an error, or nil.
func (c *collector) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return c.problems.sorted(c.scenario)
}
