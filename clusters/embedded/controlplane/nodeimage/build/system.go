package main

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// linksMax bounds a chain of symbolic links.
const linksMax = 16

// system is a file system in an archive, to take single files from.
type system struct {
	file    *os.File
	entries map[string]entry // by path, without a slash at the beginning
}

// entry is a file at an offset of the archive, a link, or a folder.
type entry struct {
	offset, size int64
	link         string
}

// openSystem reads the archive's table of contents. tar's reader does not read ahead, so the
// file's position behind a header is that of the content.
func openSystem(archive string) (*system, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	s := &system{file: file, entries: map[string]entry{}}
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read %s: %w", archive, err), file.Close())
		}
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		name := path.Clean(header.Name)
		one := entry{offset: offset, size: header.Size, link: header.Linkname}
		if header.Typeflag == tar.TypeLink {
			one = s.entries[path.Clean(header.Linkname)] // a second name of an earlier file
		}
		s.entries[name] = one
	}
}

func (s *system) close() error { return s.file.Close() }

// open finds a file by its path, through links of files and of folders.
func (s *system) open(name string) (*io.SectionReader, error) {
	found, err := s.resolve(name, linksMax)
	if err != nil {
		return nil, err
	}
	one := s.entries[found]
	return io.NewSectionReader(s.file, one.offset, one.size), nil
}

// resolve is the path without links.
func (s *system) resolve(name string, links int) (string, error) {
	if links == 0 {
		return "", fmt.Errorf("too many links: %s", name)
	}
	var done string
	for part := range strings.SplitSeq(strings.TrimPrefix(path.Clean("/"+name), "/"), "/") {
		at := path.Join(done, part)
		one, found := s.entries[at]
		if !found {
			return "", fmt.Errorf("no %s in Debian %s: %w", name, release, os.ErrNotExist)
		}
		if one.link != "" {
			target := one.link
			if !path.IsAbs(target) {
				target = path.Join(done, target)
			}
			resolved, err := s.resolve(target, links-1)
			if err != nil {
				return "", err
			}
			at = resolved
		}
		done = at
	}
	return done, nil
}

// below are the paths of what is directly in a folder, sorted.
func (s *system) below(folder string) []string {
	var names []string
	for name := range s.entries {
		if path.Dir(name) == folder {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// libraryFolder is where the libraries are, whose path has the machine's architecture in it.
func (s *system) libraryFolder() (string, error) {
	for name := range s.entries {
		if path.Base(name) == "libc.so.6" {
			return path.Dir(name), nil
		}
	}
	return "", errors.New("no libc.so.6 in Debian")
}

// libraries are the paths of everything that the programs need to be loaded, sorted: the
// loader, and libraries of libraries.
func (s *system) libraries(folder string, programs []string) ([]string, error) {
	needed := map[string]bool{}
	for todo := slices.Clone(programs); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		imports, err := s.imports(name)
		if err != nil {
			return nil, fmt.Errorf("libraries of %s: %w", name, err)
		}
		for _, library := range imports {
			at := path.Join(folder, library)
			if path.IsAbs(library) {
				at = path.Join("usr", library) // the loader, in a folder that is a link
			}
			if !needed[at] {
				needed[at] = true
				todo = append(todo, at)
			}
		}
	}
	all := make([]string, 0, len(needed))
	for name := range needed {
		all = append(all, name)
	}
	slices.Sort(all)
	return all, nil
}

// imports are the libraries that a program or library names itself, and its loader.
func (s *system) imports(name string) ([]string, error) {
	content, err := s.open(name)
	if err != nil {
		return nil, err
	}
	file, err := elf.NewFile(content)
	if err != nil {
		return nil, err
	}
	imports, err := file.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			loader, err := io.ReadAll(part.Open())
			if err != nil {
				return nil, err
			}
			imports = append(imports, strings.TrimRight(string(loader), "\x00"))
		}
	}
	return imports, nil
}
