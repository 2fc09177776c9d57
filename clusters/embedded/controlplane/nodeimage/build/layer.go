package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// layer is a tar archive of one layer of an image. The same content makes the same archive:
// nothing has a time, everything belongs to root. Errors wait for close.
type layer struct {
	file    *os.File
	tar     *tar.Writer
	folders map[string]bool
	err     error
}

func newLayer(path string) (*layer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	empty := openLayer(file)
	return &empty, nil
}

func openLayer(file *os.File) layer {
	return layer{file: file, tar: tar.NewWriter(file), folders: map[string]bool{}}
}

// close ends the archive and says what went wrong first.
func (l *layer) close() error { return errors.Join(l.err, l.tar.Close(), l.file.Close()) }

// folder adds a folder and those above it, once.
func (l *layer) folder(name string) {
	if name == "." || l.folders[name] {
		return
	}
	l.folder(path.Dir(name))
	l.folders[name] = true
	l.header(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
}

// link adds a symbolic link.
func (l *layer) link(name, target string) {
	l.folder(path.Dir(name))
	l.header(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}

// text adds a file for all to read.
func (l *layer) text(name, content string) {
	l.folder(path.Dir(name))
	l.header(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644,
	})
	if l.err == nil {
		_, l.err = io.WriteString(l.tar, content)
	}
}

// stream adds a file of known size.
func (l *layer) stream(name string, content io.Reader, size, mode int64) {
	l.folder(path.Dir(name))
	l.header(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: mode})
	if l.err == nil {
		_, l.err = io.Copy(l.tar, content)
	}
}

// copy adds a file of this machine.
func (l *layer) copy(name, from string, mode int64) {
	file, err := os.Open(from)
	if err != nil {
		l.err = errors.Join(l.err, err)
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		l.err = errors.Join(l.err, err)
		return
	}
	l.stream(name, file, info.Size(), mode)
}

// tree adds a folder of this machine with all that is in it.
func (l *layer) tree(name, from string) {
	err := filepath.WalkDir(from, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		to := path.Join(name, filepath.ToSlash(relative))
		switch {
		case entry.IsDir():
			l.folder(to)
		case entry.Type().IsRegular():
			l.copy(to, file, 0o644)
		default:
			return fmt.Errorf("%s is neither a file nor a folder", file)
		}
		return l.err
	})
	if l.err == nil {
		l.err = err
	}
}

func (l *layer) header(header *tar.Header) {
	if l.err == nil {
		l.err = l.tar.WriteHeader(header)
	}
}
