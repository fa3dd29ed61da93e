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

func main() {
	ctx, stop := untilSignalled()
	status := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// untilSignalled returns a context that ends with Ctrl-C, or with the SIGTERM
// by which systemd and Kubernetes end a service.
func untilSignalled() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
