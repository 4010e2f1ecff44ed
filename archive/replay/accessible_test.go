package replay

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"mirrorwatch/crawler/survey"
)

// TestOwnPagesAccessible runs axe-core on the pages of ours: the list of captures by day, light and dark, the mirrors side
// by side, what is not there, and the front page; and asserts that nothing stands out of a narrow screen.
func TestOwnPagesAccessible(t *testing.T) {
	dir := os.Getenv("MIRRORWATCH_NODE_MODULES")
	if dir == "" {
		dir = filepath.Join("..", "..", ".ci", "node_modules")
	}
	axe, err := os.ReadFile(filepath.Join(dir, "axe-core", "axe.min.js"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: no axe-core (npm packages are found by MIRRORWATCH_NODE_MODULES): %v", err)
	}
	w, o := newWorld(t), newOutside(t)
	article := "https://news.example/2026/" + "a-very-long-name-that-has-no-space-in-it-and-goes-on-and-on-and-on-until-no-narrow-screen-can-hold-it"
	for _, host := range []string{"news.example", "mirror.example"} {
		page := w.html(noon, "https://"+host+article[len("https://news.example"):], "<!DOCTYPE html><html lang=en><title>Story</title><p>words of the story")
		w.snap(article, page, survey.Identical, nil)
	}
	w.commit()
	ctx := browser(t, o)
	for _, look := range []struct {
		path, scheme string
		width        int64
	}{{"/web/*/" + article, "light", 1280}, {"/web/*/" + article, "dark", 360}, {"/beside/" + tenStamp + "000/" + article, "light", 1280}, {"/web/*/https://nothing.example/", "dark", 1280}, {"/", "light", 360}} {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(look.width, 800), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}}})
			return err
		})); err != nil {
			t.Fatal(err)
		}
		visit(t, ctx, w.srv.URL+look.path)
		if n := eval[int64](t, ctx, "document.documentElement.scrollWidth"); n > look.width {
			t.Errorf("%s: %d wide on a screen of %d", look.path, n, look.width)
		}
		eval[chromedp.Void](t, ctx, string(axe)+";undefined")
		// The archived pages in frames are not ours.
		found := eval[string](t, ctx, `axe.run(document, {iframes: false}).then(r => JSON.stringify(r.violations.map(v => v.id+": "+v.help+": "+v.nodes.slice(0,3).map(n => n.html.slice(0,160)+" "+n.failureSummary).join(" | "))))`, chromedp.EvalAwaitPromise)
		var list []string
		if err := json.Unmarshal([]byte(found), &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			t.Errorf("%s, %s: %s", look.path, look.scheme, v)
		}
	}
}
