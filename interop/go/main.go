// A go-micro service and a go-micro client in one program, driven by lines of JSON: the other end of every exchange that
// the Rust crates are tested with. Built once per generation of go-micro, by build tag and module file.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

const usage = `usage: peer serve --nats ADDRESS --name NAME [options]
       peer client --nats ADDRESS [options]

serve   is the echo service; prints a line when it can be called and one for each event, and ends in order at SIGTERM
        or at the end of its input
client  reads one command per line and prints one result per command, and what watches and subscriptions bring
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(os.Args[2:])
	case "client":
		err = command(os.Args[2:])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

var (
	printing sync.Mutex
	lines    = os.Stdout
)

// The older generations log to the standard output, which is for lines of JSON.
func init() {
	os.Stdout = os.Stderr
}

// One line of JSON; whole, whoever else prints.
func print(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		text, _ = json.Marshal(map[string]string{"broken": err.Error()})
	}
	printing.Lock()
	defer printing.Unlock()
	lines.Write(append(text, '\n'))
}
