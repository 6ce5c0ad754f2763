package main

import (
	"fmt"
	"strconv"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// Keys that are added again and again while nobody gets.
const duplicates = 1000

func workqueueOperations(what string, parameters Parameters) error {
	keys := make([]string, parameters.Count)
	for i := range keys {
		keys[i] = "default/service-" + strconv.Itoa(i)
	}
	switch what {
	case "add_get_done":
		say(perSecond(len(keys), addGetDone(keys)))
	case "duplicates":
		say(perSecond(len(keys), addDuplicates(keys)))
	case "rate_limited":
		say(perSecond(len(keys), addRateLimited(keys)))
	case "handover":
		say(samples(handover(keys)))
	case "delay":
		say(samples(delays(keys, parameters.Seconds)))
	default:
		return fmt.Errorf("unknown: %s", what)
	}
	return nil
}

func perSecond(count int, seconds float64) map[string]any {
	return samples([]float64{float64(count) / seconds})
}

func samples(values []float64) map[string]any {
	return map[string]any{"samples": values}
}

func addGetDone(keys []string) float64 {
	queue := workqueue.NewTyped[string]()
	defer queue.ShutDown()
	began := processorSeconds()
	for _, key := range keys {
		queue.Add(key)
	}
	for range keys {
		key, _ := queue.Get()
		queue.Done(key)
	}
	return processorSeconds() - began
}

func addDuplicates(keys []string) float64 {
	queue := workqueue.NewTyped[string]()
	defer queue.ShutDown()
	began := processorSeconds()
	for i := range keys {
		queue.Add(keys[i%duplicates])
	}
	return processorSeconds() - began
}

func rateLimiting() workqueue.TypedRateLimitingInterface[string] {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Millisecond, time.Second)
	return workqueue.NewTypedRateLimitingQueue(limiter)
}

func addRateLimited(keys []string) float64 {
	queue := rateLimiting()
	defer queue.ShutDown()
	began := processorSeconds()
	for _, key := range keys {
		queue.AddRateLimited(key)
	}
	for range keys {
		key, _ := queue.Get()
		queue.Forget(key)
		queue.Done(key)
	}
	return processorSeconds() - began
}

// From adding to an empty queue until a worker that waits has the item, in microseconds.
func handover(keys []string) []float64 {
	queue := workqueue.NewTyped[string]()
	defer queue.ShutDown()
	taken := make(chan time.Time)
	go func() {
		for {
			key, shutdown := queue.Get()
			if shutdown {
				return
			}
			now := time.Now()
			queue.Done(key)
			taken <- now
		}
	}()
	found := make([]float64, 0, len(keys))
	for _, key := range keys {
		time.Sleep(50 * time.Microsecond) // the worker waits again
		began := time.Now()
		queue.Add(key)
		found = append(found, float64((<-taken).Sub(began).Nanoseconds())/1e3)
	}
	return found
}

// How late items are that were added with delays spread over so many seconds, in milliseconds.
func delays(keys []string, seconds float64) []float64 {
	queue := rateLimiting()
	defer queue.ShutDown()
	due := make(map[string]time.Time, len(keys))
	for i, key := range keys {
		after := time.Duration(float64(i+1) * seconds / float64(len(keys)) * float64(time.Second))
		due[key] = time.Now().Add(after)
		queue.AddAfter(key, after)
	}
	found := make([]float64, 0, len(keys))
	for range keys {
		key, _ := queue.Get()
		found = append(found, float64(time.Since(due[key]).Nanoseconds())/1e6)
		queue.Done(key)
	}
	return found
}
