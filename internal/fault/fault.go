// Package fault holds the errors that reach a user: each has a code to search for, a sentence that says
// what happened to what, a hint that says what to do, and the exit code it leads to.
package fault

import (
	"errors"
	"fmt"
)

// Exit codes of the program. docs and every command's help list them.
const (
	ExitDone        = 0
	ExitUsage       = 1   // usage or configuration
	ExitRefused     = 2   // the guard refused a target
	ExitIO          = 3   // an I/O failed
	ExitVerify      = 4   // data read back was not the data written
	ExitThreshold   = 5   // a threshold or comparison failed
	ExitNotReached  = 6   // steady state or confidence was not reached
	ExitEnvironment = 7   // the system lacks something that is required
	ExitInterrupted = 130 // a signal ended the run; a partial Result was written
	ExitNoReader    = 141 // whoever read the output went away (SIGPIPE)
)

// Error is a failure as told to a user.
type Error struct {
	Exit     int
	Code     string // capitals and underscores, stable over versions
	Sentence string // what happened to what; no capital at the start, no period at the end
	Hint     string // what to do about it; may be empty
	Err      error  // the cause, for errors.Is; may be nil
}

// Error returns the sentence, followed by the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Sentence + ": " + e.Err.Error()
	}
	return e.Sentence
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an Error without a cause; the sentence is formatted as by fmt.Sprintf.
func New(exit int, code, hint, format string, args ...any) *Error {
	return &Error{Exit: exit, Code: code, Hint: hint, Sentence: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error caused by err.
func Wrap(err error, exit int, code, hint, format string, args ...any) *Error {
	return &Error{Exit: exit, Code: code, Hint: hint, Sentence: fmt.Sprintf(format, args...), Err: err}
}

// Usage is an error in what the user typed.
func Usage(code, hint, format string, args ...any) *Error {
	return New(ExitUsage, code, hint, format, args...)
}

// Plain is the code of an error that carried none.
const Plain = "ERROR"

// Of returns err as an *Error: itself when it is one or wraps one, else a new one with code [Plain].
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Exit: ExitUsage, Code: Plain, Sentence: err.Error(), Err: nil}
}
