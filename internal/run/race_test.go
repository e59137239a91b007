//go:build race

package run

// raceDetector says that the tests run under it.
const raceDetector = true
