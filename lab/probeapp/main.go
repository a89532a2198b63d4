// Outgate-probe is the one program of the lab's images: a pod's pause process, a client, a server.
//
//	outgate-probe              wait for a signal, reap children (a pod's first process)
//	outgate-probe get URL...   print each body, or the error; exit 1 if any failed
//	outgate-probe serve :PORT  answer HTTP with the pod's name and the client's address
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const requestTimeout = 3 * time.Second

func main() {
	switch {
	case len(os.Args) > 2 && os.Args[1] == "get":
		os.Exit(get(os.Args[2:]))
	case len(os.Args) == 3 && os.Args[1] == "serve":
		fmt.Fprintln(os.Stderr, serve(os.Args[2]))
		os.Exit(1)
	case len(os.Args) == 1:
		pause()
	default:
		fmt.Fprintln(os.Stderr, "usage: probe | probe get URL... | probe serve :PORT")
		os.Exit(2)
	}
}

func get(urls []string) int {
	client := http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	status := 0
	for _, url := range urls {
		response, err := client.Get(url)
		if err != nil {
			fmt.Println("error:", err)
			status = 1
			continue
		}
		_, err = io.Copy(os.Stdout, response.Body)
		response.Body.Close()
		if err != nil {
			fmt.Println("error:", err)
			status = 1
		}
	}
	return status
}

func serve(address string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	return http.ListenAndServe(address, http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			client, _, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprintf(w, "pod=%s client=%s\n", host, client)
		}))
}

// pause waits for a stop signal and reaps whatever is handed to it meanwhile.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			var status syscall.WaitStatus
			if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
