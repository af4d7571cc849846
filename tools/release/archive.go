package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// programFile is the name of the program in an archive, and the only file that
// can be executed.
const programFile = "latchkey"

// archive returns a tar.gz of the files below a folder, by their paths in it.
// The same files and time give the same bytes: files are sorted, and have the
// same time, owner and permissions on every machine.
func archive(folder string, files map[string][]byte, at time.Time) ([]byte, error) {
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression) // without a name and a time, like gzip -n
	if err != nil {
		return nil, err
	}
	writer := tar.NewWriter(zip)
	add := func(h tar.Header, content []byte) error {
		h.ModTime, h.Format = at, tar.FormatUSTAR
		if err := writer.WriteHeader(&h); err != nil {
			return fmt.Errorf("archive %s: %w", h.Name, err)
		}
		_, err := writer.Write(content)
		return err
	}
	folders := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		full := path.Join(folder, name)
		for _, dir := range parents(full) {
			if folders[dir] {
				continue
			}
			folders[dir] = true
			if err := add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, nil); err != nil {
				return nil, err
			}
		}
		mode := int64(0o644)
		if name == programFile {
			mode = 0o755
		}
		h := tar.Header{Typeflag: tar.TypeReg, Name: full, Mode: mode, Size: int64(len(files[name]))}
		if err := add(h, files[name]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(writer.Close(), zip.Close()); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// parents returns the folders of a path, the outermost first.
func parents(name string) []string {
	var all []string
	for i, r := range name {
		if r == '/' {
			all = append(all, name[:i])
		}
	}
	return all
}

// programOf returns the program in an archive.
func programOf(packed []byte) ([]byte, error) {
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	reader := tar.NewReader(zip)
	for {
		h, err := reader.Next()
		if err != nil {
			return nil, fmt.Errorf("look for the program: %w", err)
		}
		if h.Typeflag == tar.TypeReg && path.Base(h.Name) == programFile {
			return io.ReadAll(reader)
		}
	}
}

// sumsFile has the SHA-256 of all other files of a release, in the format of
// sha256sum.
const sumsFile = "SHA256SUMS"

// sums returns the content of sumsFile for the files in a folder.
func sums(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, e := range entries {
		if e.Name() == sumsFile {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%s  %s\n", digest(content), e.Name())
	}
	return text.String(), nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// checkSums returns an error unless sumsFile has the sum of each other file.
func checkSums(folder string) error {
	want, err := sums(folder)
	if err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(folder, sumsFile))
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%s/%s does not belong to the files beside it", folder, sumsFile)
	}
	return nil
}

// differences returns the names of the files that are not the same in both
// folders.
func differences(a, b string) ([]string, error) {
	names := map[string]bool{}
	for _, folder := range []string{a, b} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			names[e.Name()] = true
		}
	}
	var different []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		one, err := os.ReadFile(filepath.Join(a, name))
		other, err2 := os.ReadFile(filepath.Join(b, name))
		if err != nil || err2 != nil || !bytes.Equal(one, other) {
			different = append(different, name)
		}
	}
	return different, nil
}
