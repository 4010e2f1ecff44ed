package demo

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestWorld(t *testing.T) {
	defer goleak.VerifyNone(t)
	w, err := Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.Pool}, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, w.ConnectTo[addr])
	}}
	defer tr.CloseIdleConnections()
	get := func(url string) (int, string) {
		res, err := (&http.Client{Transport: tr}).Get(url)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for host, want := range map[string]struct {
		status int
		text   string
	}{
		primary: {200, "Marten Oakley"}, "www.presstv.co.uk": {200, "can also reach it"},
		"renamed.presstv.example": {200, "Gregor Vance"}, "half.presstv.example": {200, "reopened to traffic"},
		"blocked.presstv.example": {200, "blocked by order"}, "seized.presstv.example": {200, "seizure warrant"},
		"anything.presstv.example": {200, "Sorry"}, "challenge.presstv.example": {403, "Just a moment"},
		"othername.presstv.example": {0, "somebody-else.example"}, "refused.presstv.example": {0, "refused"},
	} {
		if status, body := get("https://" + host + articlePath); status != want.status || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d %s", host, status, body)
		}
	}
	if status, _ := get("https://" + primary + "/Detail/2016/08/10/999999999/x"); status != 404 {
		t.Errorf("decoy: %d", status)
	}
}
