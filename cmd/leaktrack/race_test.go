//go:build race

package main

// raceDetector is whether the tests run under it.
const raceDetector = true
