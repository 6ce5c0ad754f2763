package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const serviceIndex = "service"

var indexers = cache.Indexers{
	cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
	serviceIndex: func(object any) ([]string, error) {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return nil, err
		}
		return []string{accessor.GetNamespace() + "/" + accessor.GetLabels()[discoveryv1.LabelServiceName]}, nil
	},
}

// A shared informer on a stream from memory: from the bytes to the handler, with the store and two indexes in between.
func informer(who string, parameters Parameters) error {
	// What this watch begins with is no streaming list; read once, before the first reflector.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		return err
	}
	content, err := os.ReadFile(parameters.Events)
	if err != nil {
		return err
	}
	total := int64(bytes.Count(content, []byte("\n")))
	var example, list runtime.Object
	switch who {
	case "typed":
		example, list = &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{}
	case "unstructured":
		items := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList"}}
		example, list = &unstructured.Unstructured{}, items
	default:
		return fmt.Errorf("unknown: %s", who)
	}
	if accessor, err := meta.ListAccessor(list); err == nil {
		accessor.SetResourceVersion("1")
	}
	began := make(chan float64, 1)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) { return list, nil },
		WatchFuncWithContext: func(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
			select {
			case began <- processorSeconds():
			default: // the stream is over
				<-ctx.Done()
				return nil, ctx.Err()
			}
			decoder, err := watchDecoder(who, io.NopCloser(bytes.NewReader(content)))
			if err != nil {
				return nil, err
			}
			return watch.NewStreamWatcher(decoder, apierrors.NewClientErrorReporter(http.StatusInternalServerError, "watch", "")), nil
		},
	}
	shared := cache.NewSharedIndexInformer(lw, example, 0, indexers)
	var handled atomic.Int64
	finished := make(chan float64)
	count := func() {
		if handled.Add(1) == total {
			finished <- processorSeconds()
		}
	}
	if _, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { count() },
		UpdateFunc: func(any, any) { count() },
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go shared.RunWithContext(ctx)
	took := <-finished - <-began
	if found := len(shared.GetIndexer().ListKeys()); found != parameters.Count {
		return fmt.Errorf("%d objects in the store instead of %d", found, parameters.Count)
	}
	say(perSecond(int(total), took))
	return nil
}

var endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
