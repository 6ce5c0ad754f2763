// The streaming endpoints of a kubelet, for Pods that are network namespaces: kubectl exec, logs and port-forward.
//
// The protocol is that of Kubernetes (k8s.io/cri-streaming). What a Pod is, testbed/dataplane/streaming.py says, which
// writes a folder <pods>/<namespace>/<name>/<uid> for each one that runs:
//
//	pod.json          how to run a command in it
//	<container>.log   what the container wrote: a time, a space and a text on each line
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	idleTimeout     = 4 * time.Hour // of the kubelet
	creationTimeout = 30 * time.Second
	followInterval  = 100 * time.Millisecond
)

// pod is a running Pod.
type pod struct {
	Shell       []string `json:"shell"`       // what stands before a command that runs in it
	Environment []string `json:"environment"` // of the command
	Network     string   `json:"network"`     // the file of its network namespace
	folder      string
}

// find gives the Pod and the container of a request; the container is empty if the request names none.
func find(pods string, r *http.Request) (*pod, string, error) {
	namespace, name, container := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	// More than one while a Pod of the same name is being removed; ended ones have no pod.json.
	found, _ := filepath.Glob(filepath.Join(pods, namespace, name, "*", "pod.json"))
	for _, file := range found {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		p := &pod{folder: filepath.Dir(file)}
		if err := json.Unmarshal(content, p); err != nil {
			return nil, "", fmt.Errorf("%s: %w", file, err)
		}
		if _, err := os.Stat(p.log(container)); container != "" && err != nil {
			return nil, "", fmt.Errorf("container %q of pod %s/%s does not run here", container, namespace, name)
		}
		return p, container, nil
	}
	return nil, "", fmt.Errorf("pod %s/%s does not run here", namespace, name)
}

func (p *pod) log(container string) string {
	return filepath.Join(p.folder, container+".log")
}

func (p *pod) runs() bool {
	_, err := os.Stat(filepath.Join(p.folder, "pod.json"))
	return err == nil
}

// ExecInContainer runs a command until it ends; one that fails is a utilexec.ExitError.
func (p *pod) ExecInContainer(ctx context.Context, _, _, _ string, argv []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	argv = append(append([]string{}, p.Shell...), argv...)
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Dir, command.Env = "/", p.Environment
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if tty {
		command.Env = append(command.Env, "TERM=xterm")
		err = onTerminal(command, in, out, resize)
	} else {
		err = onPipes(command, in, out, errs)
	}
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code := ended.ExitCode()
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			code = 128 + int(status.Signal())
		}
		return utilexec.CodeExitError{Err: err, Code: code}
	}
	return err
}

func onPipes(command *exec.Cmd, in io.Reader, out, errs io.WriteCloser) error {
	if in != nil {
		// Not command.Stdin: the command may end before the client's input does.
		pipe, err := command.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(pipe, in)
			_ = pipe.Close()
		}()
	}
	command.Stdout, command.Stderr = out, errs
	return command.Run()
}

func onTerminal(command *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	terminal, err := pty.Start(command)
	if err != nil {
		return err
	}
	defer terminal.Close()
	go func() {
		for size := range resize {
			_ = pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
		}
	}()
	if in != nil {
		go func() { _, _ = io.Copy(terminal, in) }()
	}
	if out != nil {
		_, _ = io.Copy(out, terminal) // ends with EIO, when the last process of the terminal has ended
	}
	return command.Wait()
}

// PortForward copies between a stream and a port of the Pod's loopback address.
func (p *pod) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	connection, err := p.dial(port)
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}

// dial makes a connection in the Pod's network namespace: a socket belongs to the one in which it was made.
func (p *pod) dial(port int32) (*net.TCPConn, error) {
	network, err := os.Open(p.Network)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	var connection *net.TCPConn
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err == nil {
			connection, err = net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
		}
	}()
	<-done
	return connection, err
}

// writeLog writes what a container wrote, as the options of kubectl logs have it.
func (p *pod) writeLog(ctx context.Context, w io.Writer, flush func(), container string, options url.Values) error {
	number := func(name string) int {
		if value, err := strconv.Atoi(options.Get(name)); err == nil {
			return value
		}
		return -1
	}
	tail, limit := number("tailLines"), number("limitBytes")
	since, _ := time.Parse(time.RFC3339, options.Get("sinceTime"))
	if seconds := number("sinceSeconds"); seconds >= 0 {
		since = time.Now().Add(-time.Duration(seconds) * time.Second)
	}
	file, err := os.Open(p.log(container))
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	pending := ""
	// next gives the lines that there are now.
	next := func() (lines []string) {
		for {
			part, err := reader.ReadString('\n')
			if pending += part; err != nil {
				return lines
			}
			line := pending
			pending = ""
			stamp, text, _ := strings.Cut(line, " ")
			if moment, err := time.Parse(time.RFC3339Nano, stamp); err != nil || moment.Before(since) || options.Get("stream") == "Stderr" {
				continue // everything here is stdout
			}
			if options.Get("timestamps") != "true" {
				line = text
			}
			lines = append(lines, line)
		}
	}
	lines := next()
	if tail >= 0 {
		lines = lines[max(0, len(lines)-tail):]
	}
	for {
		running := p.runs() // asked first: what it wrote before it ended is then seen below
		for _, line := range lines {
			if limit >= 0 {
				line = line[:min(limit, len(line))]
				limit -= len(line)
			}
			if _, err := io.WriteString(w, line); err != nil || limit == 0 {
				return err
			}
		}
		flush()
		if options.Get("follow") != "true" || !running {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followInterval):
		}
		lines = next()
	}
}

// handler serves the endpoints to one user.
func handler(pods, user string) http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern string, answer func(w http.ResponseWriter, r *http.Request, p *pod, container string)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			p, container, err := find(pods, r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			answer(w, r, p, container)
		})
	}
	serve("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request, p *pod, container string) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, p, r.PathValue("pod"), "", container, r.URL.Query()["command"], options, idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
	})
	serve("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request, p *pod, _ string) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, p, r.PathValue("pod"), "", options, idleTimeout, creationTimeout, portforward.SupportedProtocols)
	})
	serve("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request, p *pod, container string) {
		if r.URL.Query().Get("previous") == "true" {
			http.Error(w, fmt.Sprintf("previous terminated container %q not found", container), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		if err := p.writeLog(r.Context(), w, func() { _ = http.NewResponseController(w).Flush() }, container, r.URL.Query()); err != nil {
			log.Printf("%s: %v", r.URL.Path, err)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch verified := r.TLS.VerifiedChains; {
		case len(verified) == 0:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case verified[0][0].Subject.CommonName != user:
			http.Error(w, fmt.Sprintf("Forbidden (user=%s)", verified[0][0].Subject.CommonName), http.StatusForbidden)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

func main() {
	listen := flag.String("listen", "", "address to listen on; another socket may have reserved it with SO_REUSEPORT")
	pods := flag.String("pods", "", "folder of the running Pods")
	certificate := flag.String("certificate", "", "file of the server's certificate")
	key := flag.String("key", "", "file of its key")
	authority := flag.String("client-ca", "", "file of the CA of the clients")
	user := flag.String("user", "", "common name of the only client that is allowed")
	flag.Parse()
	log.Fatal(run(*listen, *certificate, *key, *authority, handler(*pods, *user)))
}

func run(listen, certificate, key, authority string, serve http.Handler) error {
	trusted := x509.NewCertPool()
	if content, err := os.ReadFile(authority); err != nil || !trusted.AppendCertsFromPEM(content) {
		return fmt.Errorf("no certificate in %q: %v", authority, err)
	}
	sharing := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		refused := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(refused, err)
	}}
	listener, err := sharing.Listen(context.Background(), "tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           serve,
		TLSConfig:         &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: trusted, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute,
	}
	return server.ServeTLS(listener, certificate, key)
}
