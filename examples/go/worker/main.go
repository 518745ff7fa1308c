// Command worker serves two types of tasks; package pull does what the protocol asks for.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"pullwork.example/pull"
	pb "pullwork.example/stubs/pullwork/v1"
)

// A worker with one function less has one type less. Payloads are JSON objects of parameters.
var functions = map[string]pull.Function{
	"words.count": countWords,
	// What `pullwork conformance` asks of a worker.
	"conformance.work": work,
}

func countWords(_ context.Context, payload []byte) (any, error) {
	var given struct{ Text *string }
	if err := json.Unmarshal(payload, &given); err != nil {
		return nil, fmt.Errorf("%w: %w", pull.ErrRejected, err)
	}
	if given.Text == nil {
		return nil, fmt.Errorf("%w: `text` is missing", pull.ErrRejected)
	}
	return len(strings.Fields(*given.Text)), nil
}

func work(ctx context.Context, payload []byte) (any, error) {
	var given struct {
		Seconds float64
		Size    int
	}
	if err := json.Unmarshal(payload, &given); err != nil {
		return nil, fmt.Errorf("%w: %w", pull.ErrRejected, err)
	}
	select {
	case <-time.After(time.Duration(given.Seconds * float64(time.Second))):
		return strings.Repeat("x", given.Size), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func main() {
	name := flag.String("name", "go", "how people call it; a mark is added")
	queues := flag.String("queues", "default", "the queues to serve, with commas between them")
	slots := flag.Int("slots", 2, "how many tasks to run at once")
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	conn, err := pull.Dial(cmp.Or(os.Getenv("PULLWORK_ADDRESS"), "127.0.0.1:7733"))
	if err != nil {
		slog.Error("PULLWORK_ADDRESS is no address; write it as host:port", "why", err)
		os.Exit(2)
	}
	defer conn.Close()
	me := &pb.RegisterRequest{WorkerName: *name, Queues: strings.Split(*queues, ","), Slots: int32(*slots), Version: "example"}
	pull.Run(ctx, pb.NewMasterServiceClient(conn), me, functions)
}
