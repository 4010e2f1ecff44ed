package reports

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var (
	pictures = flag.String("pictures", "", "write pictures of the sample pages into this folder, to look at")
	only     = flag.String("only", "", "of the pictures, those of this sample alone")
)

// TestPictures takes the pictures that issue 9 asks people to look at: each sample at three widths, light and dark, at 200%
// zoom, with forced colours, and printed. It judges nothing: what a machine can judge is in the other tests.
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("pictures are taken with -args -pictures DIR")
	}
	if err := os.MkdirAll(*pictures, 0o777); err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs(*pictures)
	if err != nil {
		t.Fatal(err)
	}
	ctx := browser(t)
	all := writtenPages(t)
	set := func(width int64, scale float64, media string, features map[string]string) {
		t.Helper()
		var list []*emulation.MediaFeature
		for name, value := range features {
			list = append(list, &emulation.MediaFeature{Name: name, Value: value})
		}
		do(t, ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: scale}); err != nil {
				return err
			}
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media, Features: list})
			return err
		}))
	}
	shoot := func(name string) {
		t.Helper()
		height := eval[float64](t, ctx, "document.documentElement.scrollHeight")
		width := eval[float64](t, ctx, "document.documentElement.scrollWidth")
		const each, most = 1800, 6 // what is longer is not looked at to its end
		for n := 0; n < most && float64(n*each) < height; n++ {
			do(t, ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
				beyond := true
				shot, err := chromedp.Call(ctx, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{CaptureBeyondViewport: &beyond,
					Clip: &cdppage.Viewport{Y: float64(n * each), Width: width, Height: min(each, height-float64(n*each)), Scale: 1}})
				if err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.png", name, n+1)), shot.Data, 0o666)
			}))
		}
	}
	for name, file := range all {
		base := filepath.Base(filepath.Dir(file))
		if filepath.Base(file) != "index.html" {
			base += "-article"
		}
		if *only != "" && base != *only {
			continue
		}
		do(t, ctx, chromedp.Navigate("file://"+file))
		for _, width := range []int64{360, 768, 1280} {
			for _, scheme := range []string{"light", "dark"} {
				set(width, 1, "", map[string]string{"prefers-color-scheme": scheme})
				shoot(fmt.Sprintf("%s-%d-%s", base, width, scheme))
			}
		}
		set(640, 2, "", map[string]string{"prefers-color-scheme": "light"}) // 200% of a window of 1280
		shoot(base + "-zoom200")
		set(1280, 1, "", map[string]string{"forced-colors": "active"})
		shoot(base + "-forced")
		set(1280, 1, "", map[string]string{"prefers-color-scheme": "dark"})
		pdf, err := chromedp.Run(ctx, chromedp.PrintToPDF(chromedp.PDFPaper(chromedp.PaperA4)))
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.HasPrefix(pdf, []byte("%PDF-")) {
			t.Errorf("%s: no PDF", name)
		}
		if err := os.WriteFile(filepath.Join(dir, base+".pdf"), pdf, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
