package demo

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"strings"
)

// The pictures are drawn, not stored: the same program draws the same bytes.

const (
	pictureWidth  = 640
	pictureHeight = 360
	waterline     = 240
)

// sky fills the picture with a sky over water, each a run of shades from top to bottom.
func sky(img *image.RGBA, high, low, sea color.RGBA) {
	for y := range pictureHeight {
		c := sea
		if y < waterline {
			c = color.RGBA{blend(high.R, low.R, y), blend(high.G, low.G, y), blend(high.B, low.B, y), 255}
		} else if y%9 == 0 {
			c = color.RGBA{sea.R + 12, sea.G + 12, sea.B + 12, 255}
		}
		for x := range pictureWidth {
			img.SetRGBA(x, y, c)
		}
	}
}

func blend(a, b uint8, y int) uint8 { return uint8((int(a)*(waterline-y) + int(b)*y) / waterline) }

func box(img *image.RGBA, x0, y0, x1, y1 int, c color.RGBA) {
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			img.SetRGBA(x, y, c)
		}
	}
}

func bridgePNG() ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, pictureWidth, pictureHeight))
	sky(img, color.RGBA{120, 160, 200, 255}, color.RGBA{215, 225, 235, 255}, color.RGBA{70, 95, 110, 255})
	steel := color.RGBA{60, 66, 78, 255}
	box(img, 0, 190, pictureWidth, 202, steel)
	for _, x := range []int{90, 250, 390, 550} {
		box(img, x-8, 190, x+8, 270, steel)
	}
	for x := range pictureWidth { // three arches above the roadway
		h := int(70 * math.Abs(math.Sin(float64(x)*3*math.Pi/pictureWidth)))
		box(img, x, 190-h, x+1, 195-h, steel)
		if x%20 == 0 {
			box(img, x, 190-h, x+2, 190, steel)
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

func ferryJPEG() ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, pictureWidth, pictureHeight))
	sky(img, color.RGBA{90, 80, 130, 255}, color.RGBA{240, 190, 140, 255}, color.RGBA{60, 70, 105, 255})
	white, hull := color.RGBA{240, 240, 236, 255}, color.RGBA{150, 40, 35, 255}
	for i := range 34 { // a hull that narrows towards the keel
		box(img, 200+i, 222+i, 460-i, 223+i, hull)
	}
	box(img, 235, 190, 430, 222, white)
	box(img, 270, 164, 380, 190, white)
	box(img, 335, 138, 355, 164, hull)
	for x := 245; x < 420; x += 18 {
		box(img, x, 200, x+9, 210, color.RGBA{70, 90, 120, 255})
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}

func trafficSVG() []byte {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" font-family="sans-serif" font-size="16">` + "\n")
	b.WriteString(`<rect width="640" height="360" fill="#f4f6f8"/>` + "\n")
	for i, bar := range []struct{ year, count int }{{1961, 3100}, {1975, 5200}, {1990, 7400}, {2005, 9800}, {2014, 11000}} {
		h := bar.count * 250 / 11000
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="70" height="%d" fill="#1d4e89"/><text x="%d" y="335" text-anchor="middle">%d</text><text x="%d" y="%d" text-anchor="middle">%d</text>`+"\n",
			50+i*115, 310-h, h, 85+i*115, bar.year, 85+i*115, 302-h, bar.count)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

const iconSVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" fill="#1d4e89"/><path d="M1 11Q8 2 15 11" fill="none" stroke="#fff" stroke-width="2"/></svg>
`
