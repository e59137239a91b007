// Command blkmeter puts a measured load on block devices and files, proves what it did to them, and says
// with error bars what they did in return.
package main

import (
	"os"
)

func main() {
	os.Exit(execute(&app{
		args: os.Args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv,
	}))
}
