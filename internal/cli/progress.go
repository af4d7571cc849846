package cli

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows at a terminal how far something is; elsewhere it shows
// nothing.
type progress struct{ bar *progressbar.ProgressBar }

// progress begins to show it on standard error. total is what at comes to in
// the end, 0 where nobody knows.
func (p *program) progress(total int64) *progress {
	screen, is := p.stderr.(*os.File)
	if !is || !term.IsTerminal(int(screen.Fd())) {
		return &progress{}
	}
	if total <= 0 {
		total = -1 // a turning wheel
	}
	return &progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(screen), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), progressbar.OptionClearOnFinish())}
}

// at says how much of the total is reached, and what that is for people.
func (p *progress) at(reached int64, what string) {
	if p.bar == nil {
		return
	}
	p.bar.Describe(what)
	// Nothing but the picture is lost when the terminal does not take it.
	_ = p.bar.Set64(reached)
}

// hide takes the picture away, so that something else can be said. at brings
// it back.
func (p *progress) hide() {
	if p.bar != nil {
		_ = p.bar.Clear() // as above
	}
}
