package onward

import (
	"sync/atomic"
	"syscall"
	"time"
)

// diskWatch asks at most once a second how much room the disk has.
type diskWatch struct {
	dir   string
	least atomic.Int64 // octets
	asked atomic.Int64
	low   atomic.Bool
}

func watchDisk(dir string, least int64) *diskWatch {
	d := &diskWatch{dir: dir}
	d.least.Store(least)
	return d
}

// isLow reports whether less is free than limits.free_disk asks for. A disk
// that cannot be asked is not low: writing will tell.
func (d *diskWatch) isLow() bool {
	now := time.Now().Unix()
	if last := d.asked.Load(); last != now && d.asked.CompareAndSwap(last, now) {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &fs); err == nil {
			d.low.Store(int64(fs.Bavail)*fs.Bsize < d.least.Load())
		}
	}
	return d.low.Load()
}
