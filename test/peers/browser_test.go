//go:build peers

package peers

import "testing"

// TestBrowser runs click.mjs: Chromium clicks through search, language switch, comparison, guides and the explain box,
// and axe looks at the pages.
func TestBrowser(t *testing.T) {
	o := serve(t, settings{web: true})
	out, status := program(t, "", "node", "browser/click.mjs", "http://"+o.web)
	if status != 0 {
		t.Fatalf("click.mjs: status %d\n%s", status, out)
	}
}
