package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// maxOutput bounds what is kept of a program's output, for the message about its failure.
const maxOutput = 4 << 10

// run starts the program and gives it the document on its standard input: article data is never an argument and never in
// the environment (DESIGN section 6). The program is killed, with its children where the system can, when the time is over;
// that is a delivery of which nothing is known.
func (c Channel) run(ctx context.Context, document []byte) error {
	cmd := exec.CommandContext(ctx, c.Exec[0], c.Exec[1:]...)
	out := &bounded{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(document), out, out
	cmd.WaitDelay = 2 * time.Second
	group(cmd)
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &SendError{Unknown: true, Problem: fmt.Sprintf("it was killed after %s", c.Timeout)}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &SendError{Problem: visible(fmt.Sprintf("it ended with %s: %s", exit.ProcessState, out.b.String()), maxField)}
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // it ended well, and left a child that holds its output
	}
	return &SendError{Problem: visible("it could not be started: "+last(err), maxField)}
}

type bounded struct{ b bytes.Buffer }

func (w *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - w.b.Len(); room > 0 {
		w.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
