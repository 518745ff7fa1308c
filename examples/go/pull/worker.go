// Package pull is a Pullwork worker made of generated stubs, and of nothing else of Pullwork.
//
// One loop owns all state. Calls and functions run in goroutines of their own and tell the loop
// what is to be done next, so nothing needs a lock.
package pull

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	pb "pullwork.example/stubs/pullwork/v1"
)

const (
	park        = 20 * time.Second // how long the master may keep a request that it has nothing for
	drainGrace  = 30 * time.Second // how long running work may take once the worker drains
	reportBytes = 3 << 20          // a message may have 4 MiB
)

type attempt struct {
	cancel  context.CancelFunc
	outcome *pb.Outcome // once the function ended
	sent    bool        // its report is on its way
}

type worker struct {
	master                     pb.MasterServiceClient
	me                         *pb.RegisterRequest
	functions                  map[string]Function
	todo                       chan func()         // for the loop, which alone touches what is below
	held                       map[string]*attempt // every ticket, from its arrival until its verdict
	stopping                   int                 // functions that were told to stop and still run
	reporting, draining, left  bool
	terms                      *pb.RegisterResponse // nil: no session
	session                    context.Context
	leaseFor                   time.Duration
	end, hangUp, askNoMore     context.CancelFunc // of the session, the stream, a RequestTask on its way
	contactAt, eventAt, beatAt time.Time          // the last of each
}

// Run pulls work until `ctx` is done or the master asks it to drain; then it finishes what runs.
func Run(
	ctx context.Context, conn grpc.ClientConnInterface,
	name string, queues []string, slots int, functions map[string]Function,
) {
	boot := rand.Text() // made anew at each start of the process
	w := &worker{
		master: pb.NewMasterServiceClient(conn), functions: functions,
		todo: make(chan func()), held: map[string]*attempt{},
		me: &pb.RegisterRequest{
			// Two workers of one name would end each other's sessions for ever.
			WorkerName: name + "-" + boot[:8], BootId: boot, Queues: queues,
			TaskTypes: slices.Sorted(maps.Keys(functions)), Slots: int32(slots), Version: "example",
		},
	}
	context.AfterFunc(ctx, func() { w.todo <- w.drain })
	clock := time.NewTicker(100 * time.Millisecond)
	defer clock.Stop()
	for w.register(); !w.left; w.next() {
		select {
		case do := <-w.todo:
			do()
		case now := <-clock.C:
			w.tick(now)
		}
	}
}

// register begins a session with all that is held.
func (w *worker) register() {
	w.session, w.end = context.WithCancel(context.Background())
	w.terms, w.hangUp, w.askNoMore, w.reporting = nil, nil, nil, false
	w.me.Held = w.inventory()
	call(w, w.session, w.master.Register, w.me, func(terms *pb.RegisterResponse) {
		slog.Info("registered", "session", terms.SessionId, "term", terms.Term, "held", len(w.held))
		w.terms, w.leaseFor, w.beatAt = terms, terms.LeaseDuration.AsDuration(), time.Now()
		for _, it := range terms.HeldVerdicts {
			if it.Decision == pb.HeldDecision_HELD_DECISION_ABANDON {
				w.abandon("the lease did not outlast its session", it.LeaseToken)
			}
		}
		go w.listen(w.session, terms.SessionId)
	})
}

// lost ends a session that the master does not know any more, and begins another.
func (w *worker) lost(err error) {
	slog.Warn("registering anew", "why", err)
	w.end()
	for _, it := range w.held {
		it.sent = false
	}
	w.register()
}

// listen keeps the notification stream open until the session ends.
func (w *worker) listen(session context.Context, id string) {
	for wait := firstWait; session.Err() == nil; wait = pause(session, wait) {
		ctx, hangUp := context.WithCancel(session)
		w.tell(ctx, func() { w.hangUp, w.eventAt = hangUp, time.Now() })
		stream, err := w.master.TaskIncoming(ctx, &pb.TaskIncomingRequest{SessionId: id})
		for err == nil {
			var event *pb.TaskIncomingResponse
			if event, err = stream.Recv(); err == nil {
				wait = firstWait
				w.tell(ctx, func() { w.hear(event) })
			}
		}
		hangUp()
		if sessionLost(err) {
			w.tell(session, func() { w.lost(err) })
		}
	}
}

func (w *worker) hear(event *pb.TaskIncomingResponse) {
	w.contactAt, w.eventAt = time.Now(), time.Now()
	switch told := event.Event.(type) {
	case *pb.TaskIncomingResponse_Cancel_:
		w.abandon(told.Cancel.Reason, told.Cancel.LeaseTokens...)
	case *pb.TaskIncomingResponse_Drain_:
		w.drain()
	} // `available` says nothing new: a request is parked whenever a slot is free
}

// tick does what time asks for.
func (w *worker) tick(now time.Time) {
	if w.leaseFor > 0 && now.Sub(w.contactAt) > w.leaseFor {
		w.contactAt = now
		w.abandon("no contact for a lease's length: others get it now", slices.Collect(maps.Keys(w.held))...)
	}
	if w.terms == nil {
		return
	}
	interval := w.terms.HeartbeatInterval.AsDuration()
	if w.hangUp != nil && now.Sub(w.eventAt) > 3*interval {
		w.hangUp() // the master is silent; `listen` opens another stream
	}
	if now.Sub(w.beatAt) >= interval {
		w.beatAt = now
		w.heartbeat(interval)
	}
}

func (w *worker) heartbeat(interval time.Duration) {
	ctx, cancel := context.WithTimeout(w.session, interval) // then the next one knows more
	beat := &pb.HeartbeatRequest{SessionId: w.terms.SessionId, Held: w.inventory(), Draining: w.draining}
	call(w, ctx, w.master.Heartbeat, beat, func(answer *pb.HeartbeatResponse) {
		cancel()
		w.terms.HeartbeatInterval = answer.HeartbeatInterval
		w.abandon("the master says so", answer.Abandon...)
		if answer.Drain {
			w.drain()
		}
	})
}

// drain asks for nothing more; what runs may finish.
func (w *worker) drain() {
	if w.draining {
		return
	}
	slog.Info("draining", "held", len(w.held))
	w.draining = true
	if w.askNoMore != nil {
		w.askNoMore() // tickets that are just leaving for it go back when the session ends
	}
	time.AfterFunc(drainGrace, func() { w.todo <- w.leave })
}

func (w *worker) leave() {
	w.left = true
	if w.terms != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_, err := w.master.Deregister(ctx, &pb.DeregisterRequest{SessionId: w.terms.SessionId, Reason: "drained"})
		slog.Info("left", "error", err)
	}
	w.end()
}
