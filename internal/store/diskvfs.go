package store

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// diskVFS stands between SQLite and the disk, for two reasons.
//
// A full disk must be told from a broken one. The library's own VFS reports
// ENOSPC as any other I/O error, because it looks for the bare number where the
// os package wraps it.
//
// SQLite writes a frame of the write-ahead log in two calls, header and page.
// Frames of one transaction are neighbours, so they are gathered and written
// together, at the latest when SQLite syncs, reads, or asks for the size. A
// transaction counts only after the sync (synchronous=FULL), and other
// connections look at a frame only when it counts, so nobody misses what is
// still being gathered.
type diskVFS struct{ vfs.VFSFilename }

// gatherMax is how much of the write-ahead log is written at once, in octets.
const gatherMax = 256 << 10

// registerVFS returns the name under which SQLite finds the VFS that stands on
// inner.
func registerVFS(inner string) (string, error) {
	under, ok := vfs.Find(inner).(vfs.VFSFilename)
	if !ok {
		return "", fmt.Errorf("there is no VFS called %q", inner)
	}
	name := "onward"
	if inner != "" {
		name += "-" + inner
	}
	vfs.Register(name, diskVFS{under}) // the same again replaces itself
	return name, nil
}

// OpenFilename implements vfs.VFSFilename.
func (d diskVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := d.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, out, fullOr(err)
	}
	file := diskFile{File: f}
	if flags&vfs.OPEN_WAL != 0 {
		return &logFile{diskFile: file}, out, nil
	}
	return &file, out, nil
}

// fullOr marks an error that says that there is no room.
func fullOr(err error) error {
	if err != nil && noRoom(err) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}

// diskFile is any file.
type diskFile struct{ vfs.File }

// WriteAt implements vfs.File.
func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, fullOr(err)
}

// Truncate implements vfs.File.
func (f *diskFile) Truncate(size int64) error { return fullOr(f.File.Truncate(size)) }

// DeviceCharacteristics implements vfs.File.
func (f *diskFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.File.DeviceCharacteristics() &^ vfs.IOCAP_BATCH_ATOMIC // its calls are not passed on
}

// SharedMemory implements vfs.FileSharedMemory.
func (f *diskFile) SharedMemory() vfs.SharedMemory {
	if s, ok := f.File.(vfs.FileSharedMemory); ok {
		return s.SharedMemory()
	}
	return nil
}

// logFile is a write-ahead log as one connection writes it.
type logFile struct {
	diskFile
	start int64  // where gathered belongs
	buf   []byte // gathered
}

// WriteAt implements vfs.File.
func (f *logFile) WriteAt(p []byte, off int64) (int, error) {
	if off != f.start+int64(len(f.buf)) || len(f.buf)+len(p) > gatherMax {
		if err := f.flush(); err != nil {
			return 0, err
		}
		f.start = off
	}
	f.buf = append(f.buf, p...)
	return len(p), nil
}

// flush writes what has gathered. If that fails it is forgotten: SQLite rolls
// the transaction back.
func (f *logFile) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	_, err := f.diskFile.WriteAt(f.buf, f.start)
	f.start += int64(len(f.buf))
	f.buf = f.buf[:0]
	return err
}

// ReadAt implements vfs.File.
func (f *logFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// Truncate implements vfs.File.
func (f *logFile) Truncate(size int64) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.diskFile.Truncate(size)
}

// Sync implements vfs.File.
func (f *logFile) Sync(flags vfs.SyncFlag) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Sync(flags)
}

// Size implements vfs.File.
func (f *logFile) Size() (int64, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Close implements vfs.File.
func (f *logFile) Close() error {
	err := f.flush()
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	return err
}
