package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

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

func processorSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	seconds := func(value syscall.Timeval) float64 { return float64(value.Sec) + float64(value.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}
