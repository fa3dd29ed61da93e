// Command leaktrack tells which .NET type leaks, how fast, since when, and
// what holds it, from heap snapshots of whatever kind is at hand.
//
// Results go to standard output, everything else to standard error as
// "leaktrack: …". Exit status: 0 done; 1 check found a leak; 2 failed or wrong
// usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(mainStatus()) }

// mainStatus runs the command until it ends or is asked to: by Ctrl-C or by
// SIGTERM, which service managers and container runtimes send. A second signal
// ends it at once; what was reported as stored is safe then, too.
func mainStatus() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
}
