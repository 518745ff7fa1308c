package pull

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	firstWait   = 200 * time.Millisecond
	longestWait = 5 * time.Second
	callTimeout = park + 15*time.Second
)

// Dial opens a connection to a master; it connects by itself, again and again.
func Dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
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

// call makes one call in the background until it is answered, each time with the same ids, so that
// a lost answer costs nothing. Then the loop goes on with `then`, unless `ctx` ended meanwhile.
func call[Q, A any](
	w *worker, ctx context.Context, method func(context.Context, *Q, ...grpc.CallOption) (*A, error),
	request *Q, then func(*A),
) {
	go func() {
		for wait := firstWait; ctx.Err() == nil; wait = pause(ctx, wait) {
			limited, cancel := context.WithTimeout(ctx, callTimeout)
			answer, err := method(limited, request)
			cancel()
			switch {
			case err == nil:
				w.tell(ctx, func() { w.contactAt = time.Now(); then(answer) })
				return
			case sessionLost(err):
				w.tell(ctx, func() { w.lost(err) })
				return
			case ctx.Err() == nil:
				slog.Warn("no answer; asking again", "why", err)
			}
		}
	}()
}

// tell has the loop do something, unless `ctx` ends before it comes to it.
func (w *worker) tell(ctx context.Context, do func()) {
	select {
	case w.todo <- func() {
		if ctx.Err() == nil {
			do()
		}
	}:
	case <-ctx.Done():
	}
}

// pause waits, less a random share, and returns how long to wait the next time.
func pause(ctx context.Context, wait time.Duration) time.Duration {
	select {
	case <-time.After(wait - rand.N(wait/2)):
	case <-ctx.Done():
	}
	return min(2*wait, longestWait)
}

func sessionLost(err error) bool { return status.Code(err) == codes.FailedPrecondition }
