// Package pull is a Pullwork worker made of generated stubs, and of nothing else of Pullwork.
//
// One goroutine asks for tickets, one listens, one sends heartbeats, and one for each ticket runs
// it and reports. Whichever finds that the session is gone begins another.
package pull

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "pullwork.example/stubs/pullwork/v1"
)

const drainGrace = 30 * time.Second // how long running work may take once the worker drains

type worker struct {
	master    pb.MasterServiceClient
	me        *pb.RegisterRequest
	functions map[string]Function
	free      chan struct{}   // one for each free slot
	asking    context.Context // done: the worker drains
	drain     context.CancelFunc
	living    context.Context // done: it leaves
	working   sync.WaitGroup

	entry   sync.Mutex           // held while a session is begun
	session *pb.RegisterResponse // nil: there is none

	mu              sync.Mutex
	held            map[string]context.CancelFunc // by lease token, from arrival until the verdict
	interval, lease time.Duration                 // as the master last said
	contact         *time.Timer                   // rings after a lease's length without any
}

// Run pulls work until `ctx` is done or the master asks it to drain; then it finishes what runs.
func Run(ctx context.Context, master pb.MasterServiceClient, me *pb.RegisterRequest, functions map[string]Function) {
	me.BootId = rand.Text() // made anew at each start of the process
	// Two workers of one name would end each other's sessions for ever.
	me.WorkerName += "-" + me.BootId[:8]
	me.TaskTypes = slices.Sorted(maps.Keys(functions))
	w := &worker{
		master: master, me: me, functions: functions,
		free: make(chan struct{}, me.Slots), held: map[string]context.CancelFunc{},
	}
	for range me.Slots {
		w.free <- struct{}{}
	}
	w.contact = time.AfterFunc(time.Hour, func() { w.letGo("no contact", w.tokens()...) })
	w.asking, w.drain = context.WithCancel(ctx)
	living, leave := context.WithCancel(context.Background())
	w.living = living
	go w.listen()
	go w.beat()
	w.pull()
	slog.Info("draining", "held", len(w.tokens()))
	time.AfterFunc(drainGrace, leave)
	go func() { w.working.Wait(); leave() }()
	<-living.Done()
	w.entry.Lock() // for good: nobody begins another session
	_, err := master.Deregister(context.Background(), &pb.DeregisterRequest{SessionId: w.session.GetSessionId()})
	slog.Info("left", "error", err)
}

// register returns the session that stands, or begins one with all that is held.
func (w *worker) register(ctx context.Context) (*pb.RegisterResponse, error) {
	w.entry.Lock()
	defer w.entry.Unlock()
	for wait := firstWait; w.session == nil && ctx.Err() == nil; wait = pause(ctx, wait) {
		w.me.Held = w.inventory()
		session, err := w.master.Register(ctx, w.me)
		if err != nil {
			slog.Warn("not registered", "why", err)
			continue
		}
		slog.Info("registered", "session", session.SessionId, "term", session.Term, "held", len(w.me.Held))
		w.session = session
		w.heard(session)
		for _, it := range session.HeldVerdicts {
			if it.Decision == pb.HeldDecision_HELD_DECISION_ABANDON {
				w.letGo("the lease did not outlast its session", it.LeaseToken)
			}
		}
		break
	}
	return w.session, ctx.Err()
}

// ended forgets a session that the master does not know any more.
func (w *worker) ended(session *pb.RegisterResponse, err error) {
	if status.Code(err) != codes.Canceled {
		slog.Warn("no answer", "why", err)
	}
	w.entry.Lock()
	defer w.entry.Unlock()
	if status.Code(err) == codes.FailedPrecondition && w.session == session {
		w.session = nil
	}
}

// heard notes contact, and the times to live by if they come with it.
func (w *worker) heard(answer any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if times, ok := answer.(interface {
		GetHeartbeatInterval() *durationpb.Duration
		GetLeaseDuration() *durationpb.Duration
	}); ok {
		w.interval = times.GetHeartbeatInterval().AsDuration()
		w.lease = cmp.Or(times.GetLeaseDuration().AsDuration(), w.lease)
	}
	w.contact.Reset(w.lease) // after that, others get what runs here
}

// call asks until it is answered, each time with the same ids, so that a lost answer costs nothing.
func call[A any](ctx context.Context, w *worker, method func(*pb.RegisterResponse) (A, error)) (answer A, err error) {
	for wait := firstWait; ; wait = pause(ctx, wait) {
		session, err := w.register(ctx)
		if err != nil {
			return answer, err
		}
		if answer, err = method(session); err == nil {
			w.heard(answer)
			return answer, nil
		}
		w.ended(session, err)
	}
}

// listen keeps the notification stream open.
func (w *worker) listen() {
	for wait := firstWait; ; wait = pause(w.living, wait) {
		session, err := w.register(w.living)
		if err != nil {
			return
		}
		ctx, hangUp := context.WithCancel(w.living)
		silence := time.AfterFunc(3*w.pace(), hangUp) // such a master's stream is dead
		stream, err := w.master.TaskIncoming(ctx, &pb.TaskIncomingRequest{SessionId: session.SessionId})
		for err == nil {
			var event *pb.TaskIncomingResponse
			if event, err = stream.Recv(); err != nil {
				break
			}
			wait = firstWait
			silence.Reset(3 * w.pace())
			w.heard(event)
			w.letGo(event.GetCancel().GetReason(), event.GetCancel().GetLeaseTokens()...)
			if event.GetDrain() != nil {
				w.drain()
			} // `available` says nothing new: a request is parked whenever a slot is free
		}
		hangUp()
		w.ended(session, err)
	}
}

// beat sends heartbeats; one that fails is not repeated, for the next one knows more.
func (w *worker) beat() {
	for {
		session, err := w.register(w.living)
		if err != nil {
			return
		}
		sleep(w.living, w.pace())
		answer, err := w.master.Heartbeat(w.living, &pb.HeartbeatRequest{
			SessionId: session.SessionId, Held: w.inventory(), Draining: w.asking.Err() != nil,
		})
		if err != nil {
			w.ended(session, err)
			continue
		}
		w.heard(answer)
		w.letGo("the master says so", answer.Abandon...)
		if answer.Drain {
			w.drain()
		}
	}
}

func (w *worker) pace() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.interval
}
