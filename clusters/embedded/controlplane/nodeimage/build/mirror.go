package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// machineMirror is the mirror that the machine itself installs from, if it is a Debian; empty
// is debootstrap's default.
func machineMirror() (string, error) {
	about, err := os.ReadFile("/etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	system := settings(string(about), "=")
	if system["ID"] != "debian" {
		return "", nil
	}
	paths := []string{"/etc/apt/sources.list"}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, err := filepath.Glob("/etc/apt/sources.list.d/" + pattern)
		if err != nil {
			return "", err
		}
		paths = append(paths, more...)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		find := oneLine
		if filepath.Ext(path) == ".sources" {
			find = stanzas
		}
		if mirror := find(string(text), system["VERSION_CODENAME"]); mirror != "" {
			return mirror, nil
		}
	}
	return "", nil
}

// oneLine finds the mirror of a release in lines like "deb [options] URI release component...".
func oneLine(text, release string) string {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "deb" {
			continue
		}
		fields = fields[1:]
		if len(fields) > 0 && strings.HasPrefix(fields[0], "[") {
			fields = afterOptions(fields)
		}
		if len(fields) > 1 && fields[1] == release && usable(fields[0]) {
			return fields[0]
		}
	}
	return ""
}

// afterOptions leaves out fields up to the one that ends with the bracket.
func afterOptions(fields []string) []string {
	end := slices.IndexFunc(fields, func(f string) bool { return strings.HasSuffix(f, "]") })
	return fields[end+1:]
}

// stanzas finds the mirror of a release in stanzas of fields: URIs, Suites.
func stanzas(text, release string) string {
	for stanza := range strings.SplitSeq(text, "\n\n") {
		fields := settings(stanza, ":")
		if !slices.Contains(strings.Fields(fields["Suites"]), release) {
			continue
		}
		for uri := range strings.FieldsSeq(fields["URIs"]) {
			if usable(uri) {
				return uri
			}
		}
	}
	return ""
}

// usable leaves out what debootstrap does not understand.
func usable(uri string) bool {
	return strings.HasPrefix(uri, "http://") || strings.HasPrefix(uri, "https://") ||
		strings.HasPrefix(uri, "file:/")
}

// settings are the names and values of lines, without comments and quotes.
func settings(text, separator string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, separator)
		if found && !strings.HasPrefix(name, "#") {
			all[name] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return all
}
