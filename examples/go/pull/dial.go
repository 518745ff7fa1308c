package pull

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	park        = 20 * time.Second // how long the master may keep a request that it has nothing for
	firstWait   = 200 * time.Millisecond
	longestWait = 5 * time.Second

	// Deadlines: a parked request has more time than others, the stream none.
	deadlines = `{"methodConfig": [
		{"name": [{"service": "pullwork.v1.MasterService"}], "timeout": "15s"},
		{"name": [{"service": "pullwork.v1.MasterService", "method": "RequestTask"}], "timeout": "35s"},
		{"name": [{"service": "pullwork.v1.MasterService", "method": "TaskIncoming"}]}
	]}`
)

// Dial opens a connection to a master; it connects by itself, again and again.
func Dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(deadlines),
		// The master takes one ping in 5 s; an idle worker needs them most.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstWait, Multiplier: 2, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: time.Second,
		}),
	)
}

// pause waits, less a random share, and returns how long to wait the next time.
func pause(ctx context.Context, wait time.Duration) time.Duration {
	sleep(ctx, wait-rand.N(wait/2))
	return min(2*wait, longestWait)
}

func sleep(ctx context.Context, wait time.Duration) {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}
