//go:build !race

package run

// raceDetector says that the tests run under the race detector.
const raceDetector = false
