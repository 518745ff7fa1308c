package pull

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "pullwork.example/stubs/pullwork/v1"
)

// Function does the work of one type. It should end soon after `ctx` is done.
type Function func(ctx context.Context, payload []byte) (result any, err error)

// ErrRejected is what a function returns for a payload that it can't take; it is never tried again.
var ErrRejected = errors.New("the function can't take this payload")

// pull asks for as many tickets as there are free slots, until the worker drains.
func (w *worker) pull() {
	for {
		select {
		case <-w.free:
		case <-w.asking.Done():
			return
		}
		ask := &pb.RequestTaskRequest{RequestId: rand.Text(), MaxTasks: 1, Wait: durationpb.New(park)}
		for ; len(w.free) > 0; ask.MaxTasks++ {
			<-w.free
		}
		answer, err := call(w.asking, w, func(session *pb.RegisterResponse) (*pb.RequestTaskResponse, error) {
			ask.SessionId = session.SessionId
			return w.master.RequestTask(w.asking, ask)
		})
		if err != nil {
			return // tickets that are just leaving for us go back when the session ends
		}
		for range int(ask.MaxTasks) - len(answer.Tickets) {
			w.free <- struct{}{}
		}
		for _, ticket := range answer.Tickets {
			w.working.Go(func() { w.serve(ticket) })
		}
	}
}

// serve fills a slot with a ticket, and with those that the answers to its reports bring.
func (w *worker) serve(ticket *pb.Ticket) {
	for ticket != nil {
		ctx, cancel := context.WithCancel(w.living)
		w.mu.Lock()
		w.held[ticket.LeaseToken] = cancel
		w.mu.Unlock()
		ticket = w.report(run(ctx, w.functions[ticket.Type], ticket))
	}
	w.free <- struct{}{}
}

// report tells an outcome until it has a verdict, and returns the slot's next ticket, if one waits.
func (w *worker) report(outcome *pb.Outcome) *pb.Ticket {
	told := &pb.ReportResultRequest{RequestId: rand.Text(), Outcomes: []*pb.Outcome{outcome}}
	if w.asking.Err() == nil {
		told.RequestTasks = 1
	}
	answer, _ := call(w.living, w, func(session *pb.RegisterResponse) (*pb.ReportResultResponse, error) {
		if !slices.Contains(w.tokens(), outcome.LeaseToken) {
			return nil, nil // nothing is reported of what was let go
		}
		if size := len(outcome.GetSuccess().GetData()); size > int(session.PayloadBytesMax) {
			err := fmt.Errorf("the result has %d bytes; the master takes %d", size, session.PayloadBytesMax)
			fail(outcome, pb.FailureKind_FAILURE_KIND_APPLICATION, err)
		}
		told.SessionId = session.SessionId
		return w.master.ReportResult(w.living, told)
	})
	w.letGo(fmt.Sprint(answer.GetVerdicts()), outcome.LeaseToken)
	return append(answer.GetTickets(), nil)[0]
}

// letGo stops what is worth nothing any more, or is done.
func (w *worker) letGo(why string, tokens ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, token := range tokens {
		if cancel := w.held[token]; cancel != nil {
			slog.Info("let go", "lease", token, "why", why)
			cancel()
			delete(w.held, token)
		}
	}
}

func (w *worker) tokens() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.held))
}

func (w *worker) inventory() (held []*pb.HeldLease) {
	for _, token := range w.tokens() {
		held = append(held, &pb.HeldLease{LeaseToken: token, Started: true})
	}
	return held
}

// run makes one attempt; whatever the function does, it ends in an outcome.
func run(ctx context.Context, function Function, ticket *pb.Ticket) *pb.Outcome {
	if bound := ticket.ExecutionTimeout.AsDuration(); bound > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, bound)
		defer cancel()
	}
	outcome := &pb.Outcome{LeaseToken: ticket.LeaseToken}
	data, err := result(ctx, function, ticket)
	switch {
	case err == nil:
		outcome.Outcome = &pb.Outcome_Success{Success: &pb.Payload{Data: data, ContentType: "application/json"}}
	case errors.Is(err, ErrRejected):
		fail(outcome, pb.FailureKind_FAILURE_KIND_REJECTED, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		fail(outcome, pb.FailureKind_FAILURE_KIND_TIMEOUT, err)
	default:
		fail(outcome, pb.FailureKind_FAILURE_KIND_APPLICATION, err)
	}
	return outcome
}

func result(ctx context.Context, function Function, ticket *pb.Ticket) (data []byte, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	if function == nil {
		return nil, fmt.Errorf("this worker has no function for the type %q", ticket.Type)
	}
	value, err := function(ctx, ticket.Payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

func fail(outcome *pb.Outcome, kind pb.FailureKind, err error) {
	failure := &pb.Failure{Kind: kind, Type: fmt.Sprintf("%T", err), Message: err.Error()}
	outcome.Outcome = &pb.Outcome_Failure{Failure: failure}
}
