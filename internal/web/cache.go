package web

import "sync"

// kept is a page ready to be sent, with its ETag.
type kept struct {
	body []byte
	tag  string
}

// cache keeps rendered pages. It is bounded by number; when it is full any one
// makes room, which is good enough where most readers ask for the same few.
type cache struct {
	mu    sync.RWMutex // guards pages
	pages map[string]kept
}

func (c *cache) get(key string) (kept, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	page, ok := c.pages[key]
	return page, ok
}

func (c *cache) put(key string, page kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil {
		c.pages = make(map[string]kept, maxCached)
	}
	if len(c.pages) >= maxCached {
		for other := range c.pages {
			delete(c.pages, other)
			break
		}
	}
	c.pages[key] = page
}
