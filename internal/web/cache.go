package web

import "sync"

// cache keeps rendered pages. It is bounded by number; when it is full any one
// makes room, which is good enough where most readers ask for the same few.
type cache struct {
	mu    sync.RWMutex // guards pages
	pages map[string][]byte
}

func (c *cache) get(key string) ([]byte, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	body, ok := c.pages[key]
	return body, ok
}

func (c *cache) put(key string, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil {
		c.pages = make(map[string][]byte, maxCached)
	}
	if len(c.pages) >= maxCached {
		for other := range c.pages {
			delete(c.pages, other)
			break
		}
	}
	c.pages[key] = body
}
