package store

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"
)

// faultDisk is a disk that fails and that can be crashed. It passes everything
// on to the operating system but the syncing: what has been synced is
// remembered here, and a crash keeps that and whatever it likes of the rest.
type faultDisk struct {
	vfs.VFSFilename
	name string

	mu      sync.Mutex // guards what follows
	ops     int        // writes, truncations, syncs and openings so far
	failAt  int        // the operation that fails; 0: none
	forGood bool       // and all after it
	only    string     // kind of operation to count, "" for all
	err     error
	failed  bool
	files   map[string]*image
	// atCrash, if set, is called at the failing operation, once.
	atCrash func()
}

// image is what a crash may leave of a file.
type image struct {
	synced  []byte
	pending []written
}

// written is a write since the last sync, or with a nil data a truncation.
type written struct {
	off  int64
	data []byte
}

// newFaultDisk registers a disk for the time of the test.
func newFaultDisk(tb testing.TB) *faultDisk {
	os, ok := vfs.Find("os").(vfs.VFSFilename)
	if !ok {
		tb.Fatal("the operating system's VFS has changed")
	}
	d := &faultDisk{VFSFilename: os, name: fmt.Sprintf("fault-%p", tb), files: make(map[string]*image)}
	d.name = fmt.Sprintf("%s-%d", d.name, rand.Uint64())
	vfs.Register(d.name, d)
	tb.Cleanup(func() { vfs.Unregister(d.name) })
	return d
}

// arm makes the n-th operation from now on fail.
func (d *faultDisk) arm(n int, kind string, err error, forGood bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops, d.failAt, d.only, d.err, d.forGood, d.failed = 0, n, kind, err, forGood, false
}

// fired reports whether the fault has happened.
func (d *faultDisk) fired() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// count counts an operation; d.mu is held.
func (d *faultDisk) count(kind, name string) error {
	if d.only != "" && d.only != kind || d.failAt == 0 {
		return nil
	}
	d.ops++
	if d.ops == d.failAt || d.ops > d.failAt && d.forGood {
		if !d.failed && d.atCrash != nil {
			d.atCrash()
		}
		d.failed = true
		return &fs.PathError{Op: kind, Path: name, Err: d.err}
	}
	return nil
}

// OpenFilename implements vfs.VFSFilename.
func (d *faultDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d.mu.Lock()
	err := d.count("open", name.String())
	d.mu.Unlock()
	if err != nil {
		return nil, flags, err
	}
	f, flags, err := d.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &faultFile{File: f, d: d, name: name.String()}, flags, nil
}

// Delete implements vfs.VFS; it is durable at once.
func (d *faultDisk) Delete(name string, syncDir bool) error {
	d.mu.Lock()
	delete(d.files, name)
	d.mu.Unlock()
	return d.VFSFilename.Delete(name, syncDir)
}

// faultFile is a file of the disk.
type faultFile struct {
	vfs.File
	d    *faultDisk
	name string
}

// SharedMemory implements vfs.FileSharedMemory.
func (f *faultFile) SharedMemory() vfs.SharedMemory {
	if s, ok := f.File.(vfs.FileSharedMemory); ok {
		return s.SharedMemory()
	}
	return nil
}

func (d *faultDisk) image(name string) *image {
	i := d.files[name]
	if i == nil {
		i = &image{}
		d.files[name] = i
	}
	return i
}

// WriteAt implements vfs.File.
func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.count("write", f.name); err != nil {
		return 0, err
	}
	i := f.d.image(f.name)
	i.pending = append(i.pending, written{off, append([]byte{}, p...)})
	return f.File.WriteAt(p, off)
}

// Truncate implements vfs.File.
func (f *faultFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.count("truncate", f.name); err != nil {
		return err
	}
	i := f.d.image(f.name)
	i.pending = append(i.pending, written{size, nil})
	return f.File.Truncate(size)
}

// Sync implements vfs.File.
func (f *faultFile) Sync(vfs.SyncFlag) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.count("sync", f.name); err != nil {
		return err
	}
	i := f.d.image(f.name)
	for _, c := range i.pending {
		i.apply(c)
	}
	i.pending = nil
	return nil
}

// apply makes a change durable.
func (i *image) apply(c written) {
	if c.data == nil {
		if c.off < int64(len(i.synced)) {
			i.synced = i.synced[:c.off]
		}
		return
	}
	if end := int(c.off) + len(c.data); end > len(i.synced) {
		i.synced = append(i.synced, make([]byte, end-len(i.synced))...)
	}
	copy(i.synced[c.off:], c.data)
}

// crash writes what a crash at this moment may leave into a new folder: all that
// was synced, and of the rest each change with the probability keep, some of
// them torn. d.mu is held by the operation at which it happens.
func (d *faultDisk) crash(dir string, r *rand.Rand, keep float64) error {
	for name, i := range d.files {
		if strings.HasSuffix(name, "-shm") {
			continue
		}
		left := image{synced: append([]byte{}, i.synced...)}
		for _, c := range i.pending {
			if r.Float64() >= keep {
				continue
			}
			if len(c.data) > 512 && r.Float64() < 0.2 {
				c.data = c.data[:r.IntN(len(c.data)/512)*512+512]
			}
			left.apply(c)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), left.synced, 0o600); err != nil {
			return err
		}
	}
	return nil
}

var (
	_ vfs.FileSharedMemory = (*faultFile)(nil)
	_ io.ReaderAt          = (*faultFile)(nil)
)
