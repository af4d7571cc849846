package cli

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress is a progress bar. It shows nothing if standard error is not a
// terminal.
type progress struct{ bar *progressbar.ProgressBar }

// progress starts a progress bar on standard error. A total of 0 means unknown.
func (p *program) progress(total int64) *progress {
	screen, is := p.stderr.(*os.File)
	if !is || !term.IsTerminal(int(screen.Fd())) {
		return &progress{}
	}
	if total <= 0 {
		total = -1 // a spinner
	}
	return &progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(screen), progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), progressbar.OptionClearOnFinish())}
}

// at sets the progress and its description.
func (p *progress) at(reached int64, what string) {
	if p.bar == nil {
		return
	}
	p.bar.Describe(what)
	// The bar is only decoration. Ignore errors of the terminal.
	_ = p.bar.Set64(reached)
}

// hide clears the progress bar so that a message can be printed. at shows it
// again.
func (p *progress) hide() {
	if p.bar != nil {
		_ = p.bar.Clear() // as above
	}
}
