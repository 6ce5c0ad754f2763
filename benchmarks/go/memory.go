package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// Objects that are in the store before it is weighed: what a decoder makes once is no object's cost.
const warm = 100

// What an object in an indexer costs, in KiB: of the heap after a collection, and of resident memory.
func memory(who string, parameters Parameters) error {
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	var heap, resident int64
	stored := 0
	err := eachEvent(who, parameters.Events, func(object k8sruntime.Object) error {
		if stored == warm {
			heap, resident = used()
		}
		stored++
		return store.Add(object)
	})
	if err != nil {
		return err
	}
	heapAfter, residentAfter := used()
	if count := len(store.ListKeys()); count != parameters.Count {
		return fmt.Errorf("%d objects in the store instead of %d", count, parameters.Count)
	}
	each := func(bytes int64) float64 { return float64(bytes) / 1024 / float64(parameters.Count-warm) }
	say(map[string]any{"heap": each(heapAfter - heap), "resident": each(residentAfter - resident)})
	runtime.KeepAlive(store)
	return nil
}

func used() (heap, resident int64) {
	runtime.GC()
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc), statusBytes("VmRSS")
}

// A line of /proc/self/status, in bytes.
func statusBytes(name string) int64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		fail(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), name+":"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				fail(err)
			}
			return kib * 1024
		}
	}
	fail(fmt.Errorf("no %s", name))
	return 0
}
