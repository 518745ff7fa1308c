package pull

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "pullwork.example/stubs/pullwork/v1"
)

// ErrRejected is what a function returns for a payload that it can't take; it is never tried again.
var ErrRejected = errors.New("the function can't take this payload")

// Function does the work of one type. It should end soon after `ctx` is done.
type Function func(ctx context.Context, payload []byte) (result any, err error)

// next reports what ended, asks for as much as there are free slots, and leaves when all is done.
func (w *worker) next() {
	if w.draining && len(w.held) == 0 {
		w.leave()
	}
	if w.terms == nil || w.left {
		return
	}
	w.report()
	credit := int(w.me.Slots) - len(w.held) - w.stopping
	if credit <= 0 || w.askNoMore != nil || w.draining {
		return
	}
	ctx, cancel := context.WithCancel(w.session)
	w.askNoMore = cancel
	ask := &pb.RequestTaskRequest{
		SessionId: w.terms.SessionId, MaxTasks: int32(credit), Wait: durationpb.New(park), RequestId: rand.Text(),
	}
	call(w, ctx, w.master.RequestTask, ask, func(answer *pb.RequestTaskResponse) {
		cancel()
		w.askNoMore = nil
		w.take(answer.Tickets)
	})
}

// report tells outcomes, and asks for as many tickets as there are: their slots are free.
func (w *worker) report() {
	if w.reporting {
		return
	}
	told := &pb.ReportResultRequest{SessionId: w.terms.SessionId, RequestId: rand.Text()}
	for _, it := range w.held {
		if it.outcome == nil || len(told.Outcomes) > 0 && proto.Size(told)+proto.Size(it.outcome) > reportBytes {
			continue
		}
		told.Outcomes = append(told.Outcomes, it.outcome)
		it.sent = true
	}
	if len(told.Outcomes) == 0 {
		return
	}
	if !w.draining {
		told.RequestTasks = int32(len(told.Outcomes))
	}
	w.reporting = true
	call(w, w.session, w.master.ReportResult, told, func(answer *pb.ReportResultResponse) {
		w.reporting = false
		for i, it := range told.Outcomes {
			delete(w.held, it.LeaseToken)
			if answer.Verdicts[i] != pb.Verdict_VERDICT_ACCEPTED {
				slog.Warn("an outcome was not taken", "lease", it.LeaseToken, "verdict", answer.Verdicts[i])
			}
		}
		w.take(answer.Tickets)
	})
}

// take starts what arrived; every ticket has a slot.
func (w *worker) take(tickets []*pb.Ticket) {
	for _, ticket := range tickets {
		ctx, cancel := context.WithCancel(context.Background())
		it := &attempt{cancel: cancel}
		w.held[ticket.LeaseToken] = it
		bytesMax := w.terms.PayloadBytesMax
		go func() {
			outcome := run(ctx, w.functions[ticket.Type], ticket, bytesMax)
			w.todo <- func() {
				cancel()
				if it.outcome = outcome; w.held[ticket.LeaseToken] != it {
					w.stopping--
				}
			}
		}()
	}
}

// abandon stops attempts that are worth nothing any more; nothing is reported of them.
func (w *worker) abandon(why string, tokens ...string) {
	for _, token := range tokens {
		it := w.held[token]
		if it == nil || it.sent { // the verdict will say the same
			continue
		}
		slog.Info("abandoned", "lease", token, "why", why)
		it.cancel()
		delete(w.held, token)
		if it.outcome == nil {
			w.stopping++
		}
	}
}

func (w *worker) inventory() []*pb.HeldLease {
	held := []*pb.HeldLease{}
	for token := range w.held {
		held = append(held, &pb.HeldLease{LeaseToken: token, Started: true})
	}
	return held
}

// run makes one attempt; whatever the function does, it ends in an outcome.
func run(ctx context.Context, function Function, ticket *pb.Ticket, bytesMax int64) *pb.Outcome {
	if bound := ticket.ExecutionTimeout.AsDuration(); bound > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, bound)
		defer cancel()
	}
	data, err := result(ctx, function, ticket)
	if err == nil && int64(len(data)) > bytesMax {
		err = fmt.Errorf("the result has %d bytes; the master takes %d", len(data), bytesMax)
	}
	outcome := &pb.Outcome{LeaseToken: ticket.LeaseToken}
	if err == nil {
		outcome.Outcome = &pb.Outcome_Success{Success: &pb.Payload{Data: data, ContentType: "application/json"}}
		return outcome
	}
	kind := pb.FailureKind_FAILURE_KIND_APPLICATION
	if errors.Is(err, ErrRejected) {
		kind = pb.FailureKind_FAILURE_KIND_REJECTED
	} else if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		kind = pb.FailureKind_FAILURE_KIND_TIMEOUT
	}
	failure := &pb.Failure{Kind: kind, Type: fmt.Sprintf("%T", err), Message: err.Error()}
	outcome.Outcome = &pb.Outcome_Failure{Failure: failure}
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
