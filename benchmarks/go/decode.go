package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"
)

// The decoder of a watch, put together as client-go's REST client does it for JSON.
func watchDecoder(who string, stream io.ReadCloser) (*restwatch.Decoder, error) {
	events := runtime.NewScheme()
	metav1.AddToGroupVersion(events, schema.GroupVersion{Version: "v1"})
	frames := json.NewSerializerWithOptions(json.DefaultMetaFactory, events, events, json.SerializerOptions{})
	var objects runtime.Decoder
	switch who {
	case "unstructured":
		objects = unstructured.UnstructuredJSONScheme
	case "typed":
		info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
		objects = scheme.Codecs.WithoutConversion().DecoderToVersion(info.Serializer, discoveryv1.SchemeGroupVersion)
	default:
		return nil, fmt.Errorf("unknown: %s", who)
	}
	return restwatch.NewDecoder(streaming.NewDecoder(json.Framer.NewFrameReader(stream), frames), objects), nil
}

func decode(who string, parameters Parameters) error {
	content, err := os.ReadFile(parameters.Events)
	if err != nil {
		return err
	}
	lines := bytes.Count(content, []byte("\n"))
	done := 0
	began := processorSeconds()
	for processorSeconds()-began < parameters.Seconds {
		decoder, err := watchDecoder(who, io.NopCloser(bytes.NewReader(content)))
		if err != nil {
			return err
		}
		for range lines {
			if _, _, err := decoder.Decode(); err != nil {
				return err
			}
			done++
		}
	}
	say(perSecond(done, processorSeconds()-began))
	return nil
}

// The events of a file, one by one, from a buffer that holds a few.
func eachEvent(who, path string, take func(runtime.Object) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	decoder, err := watchDecoder(who, struct {
		io.Reader
		io.Closer
	}{bufio.NewReader(file), file})
	if err != nil {
		return err
	}
	defer decoder.Close()
	for {
		_, object, err := decoder.Decode()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(object); err != nil {
			return err
		}
	}
}
