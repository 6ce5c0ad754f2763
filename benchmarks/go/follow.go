package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func sharedInformer(who, kubeconfig string) (cache.SharedIndexInformer, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, 0
	switch who {
	case "typed", "protobuf":
		if who == "protobuf" {
			config = rest.CopyConfig(config)
			config.ContentType = runtime.ContentTypeProtobuf
			config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return informers.NewSharedInformerFactory(client, 0).Discovery().V1().EndpointSlices().Informer(), nil
	case "unstructured":
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		return dynamicinformer.NewDynamicSharedInformerFactory(client, 0).ForResource(endpointSlices).Informer(), nil
	}
	return nil, fmt.Errorf("unknown: %s", who)
}

// From the start of an informer until its handler was told of every object.
func coldSync(who string, parameters Parameters) error {
	shared, err := sharedInformer(who, parameters.Kubeconfig)
	if err != nil {
		return err
	}
	if err := shared.AddIndexers(cache.Indexers{serviceIndex: indexers[serviceIndex]}); err != nil {
		return err
	}
	handled := 0
	registration, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { handled++ }})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began, processor := time.Now(), processorSeconds()
	go shared.RunWithContext(ctx)
	for !registration.HasSynced() {
		time.Sleep(time.Millisecond)
	}
	took, used := time.Since(began).Seconds(), processorSeconds()-processor
	if handled != parameters.Count {
		return fmt.Errorf("%d objects instead of %d", handled, parameters.Count)
	}
	say(map[string]any{"seconds": took, "cpu": used, "peak": float64(statusBytes("VmHWM")) / (1 << 20)})
	return nil
}

// The latencies of updates that carry the time when they were sent; until standard input ends.
func watchUpdates(who string, parameters Parameters) error {
	shared, err := sharedInformer(who, parameters.Kubeconfig)
	if err != nil {
		return err
	}
	var lock sync.Mutex
	var latencies []float64
	registration, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, object any) {
			now := time.Now().UnixNano()
			accessor, err := meta.Accessor(object)
			if err != nil {
				fail(err)
			}
			sent, err := strconv.ParseInt(accessor.GetAnnotations()[parameters.Annotation], 10, 64)
			if err != nil {
				fail(err)
			}
			lock.Lock()
			defer lock.Unlock()
			latencies = append(latencies, float64(now-sent)/1e6)
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go shared.RunWithContext(ctx)
	for !registration.HasSynced() {
		time.Sleep(time.Millisecond)
	}
	processor := processorSeconds()
	say(map[string]any{"ready": true})
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() { // each line asks for what has come since the last one: so many have been sent
		expected, err := strconv.Atoi(commands.Text())
		if err != nil {
			return err
		}
		for len(taken(&lock, &latencies)) < expected {
			time.Sleep(time.Millisecond)
		}
		used := processorSeconds() - processor
		say(map[string]any{"latencies": taken(&lock, &latencies), "cpu": used})
		lock.Lock()
		latencies = nil
		lock.Unlock()
		processor = processorSeconds()
	}
	return commands.Err()
}

func taken(lock *sync.Mutex, latencies *[]float64) []float64 {
	lock.Lock()
	defer lock.Unlock()
	return *latencies
}

func processorSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	seconds := func(value syscall.Timeval) float64 { return float64(value.Sec) + float64(value.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}
