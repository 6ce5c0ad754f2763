// Competitors of the benchmarks that are written in Go.
//
//	competitors <what> <who> <parameters as JSON>
//
// Each prints one JSON object a line. The last one is the result.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"k8s.io/klog/v2"
)

// Parameters of all competitors; each reads those that it needs.
type Parameters struct {
	Count      int     `json:"count"`
	Seconds    float64 `json:"seconds"`
	Events     string  `json:"events"`
	Kubeconfig string  `json:"kubeconfig"`
}

func main() {
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	if len(os.Args) == 2 && os.Args[1] == "versions" {
		say(versions())
		return
	}
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: %s <what> <who> <parameters>", os.Args[0]))
	}
	var parameters Parameters
	if err := json.Unmarshal([]byte(os.Args[3]), &parameters); err != nil {
		fail(err)
	}
	what := map[string]func(string, Parameters) error{
		"workqueue": workqueueOperations,
		"decode":    decode,
		"memory":    memory,
		"cold_sync": coldSync,
	}[os.Args[1]]
	if what == nil {
		fail(fmt.Errorf("unknown: %s", os.Args[1]))
	}
	if err := what(os.Args[2], parameters); err != nil {
		fail(err)
	}
}

func versions() map[string]string {
	found := map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "k8s.io/client-go" {
				found["client-go"] = module.Version
			}
		}
	}
	return found
}

func say(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
