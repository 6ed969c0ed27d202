package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// keep is how long a pass counts: long enough for branches that are left and taken up
// again.
const keep = 30 * 24 * time.Hour

// cache remembers on this machine what has passed, as a file for each digest.
type cache struct{ dir string }

// openCache opens or makes the cache, and forgets what is old.
func openCache(dir string) (*cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &cache{dir}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && time.Since(info.ModTime()) < keep {
			continue
		}
		if err == nil {
			err = os.Remove(filepath.Join(c.dir, entry.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return c, nil
}

// passed reports whether a case with this digest has passed. An entry that says anything
// else is an error.
func (c *cache) passed(digest, name string) (bool, error) {
	content, err := os.ReadFile(filepath.Join(c.dir, digest))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if string(content) != entry(name) {
		return false, fmt.Errorf("%s is not what was written: delete it", filepath.Join(c.dir, digest))
	}
	return true, nil
}

// remember records that a case has passed.
func (c *cache) remember(digest, name string) error {
	file, err := os.CreateTemp(c.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = file.WriteString(entry(name))
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(c.dir, digest))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func entry(name string) string { return "passed: " + name + "\n" }

// digester computes what a case's verdict depends on.
type digester struct {
	tree     *tree
	versions []string
	contents map[string]string // digests of files
}

// own are the files of this program; of the table of cases a digest covers one case.
func own(t *tree) []string {
	var files []string
	for _, file := range t.files {
		dir, name := path.Split(file)
		if dir == "internal/expectfail/" && name != "cases.go" && !strings.HasSuffix(name, "_test.go") {
			files = append(files, file)
		}
	}
	return files
}

// digest covers the case, the check's inputs and this program.
func (d *digester) digest(c expectFail, inputs []string) (string, error) {
	files := slices.Concat(own(d.tree), inputs)
	sum := sha256.New()
	write(sum, c.name, c.check.command)
	for _, e := range c.edits {
		write(sum, e.file, e.what)
		if slices.Contains(d.tree.files, e.file) {
			files = append(files, e.file)
		}
	}
	write(sum, c.says...)
	write(sum, d.versions...)
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		content, err := d.content(file)
		if err != nil {
			return "", err
		}
		write(sum, file, content)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (d *digester) content(file string) (string, error) {
	if known, ok := d.contents[file]; ok {
		return known, nil
	}
	content, err := os.ReadFile(filepath.Join(d.tree.root, file))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	d.contents[file] = hex.EncodeToString(sum[:])
	return d.contents[file], nil
}

// write adds a list to a sum. Lists that differ add different bytes.
func write(sum hash.Hash, list ...string) {
	fmt.Fprintf(sum, "%d\n", len(list))
	for _, text := range list {
		fmt.Fprintf(sum, "%q\n", text)
	}
}
