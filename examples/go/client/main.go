// Command client counts the words of files over Pullwork's workers, one task a file.
//
// It chooses the tasks' ids, so that each of its calls may be repeated: a master that is restarted
// in between costs a moment and nothing else.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"pullwork.example/pull"
	pb "pullwork.example/stubs/pullwork/v1"
)

const submitMax = 100 // tasks in one call, which may have 1000 and 3 MiB

func main() {
	queue := flag.String("queue", "default", "the queue to submit to")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	conn, err := pull.Dial(cmp.Or(os.Getenv("PULLWORK_ADDRESS"), "127.0.0.1:7733"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if err := count(ctx, pb.NewTaskServiceClient(conn), *queue, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func count(ctx context.Context, master pb.TaskServiceClient, queue string, files []string) error {
	names := map[string]string{} // task id → file
	var specs []*pb.TaskSpec
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		payload, err := json.Marshal(map[string]string{"text": string(text)})
		if err != nil {
			return err
		}
		id := newUUID()
		names[id] = file
		specs = append(specs, &pb.TaskSpec{
			TaskId: id, Queue: queue, Type: "words.count", Payload: payload, ContentType: "application/json",
			ExecutionTimeout: durationpb.New(time.Minute), Retry: &pb.RetryPolicy{MaxAttempts: 3},
		})
	}
	for start := 0; start < len(specs); start += submitMax {
		batch := specs[start:min(start+submitMax, len(specs))]
		if err := submit(ctx, master, batch); err != nil {
			return err
		}
		if err := watch(ctx, master, batch, names); err != nil {
			return err
		}
	}
	return nil
}

// submit stores the tasks; repeated under the same ids it stores them once.
func submit(ctx context.Context, master pb.TaskServiceClient, specs []*pb.TaskSpec) error {
	for {
		_, err := master.SubmitTasks(ctx, &pb.SubmitTasksRequest{Tasks: specs})
		if !worthRepeating(ctx, err) {
			return err
		}
	}
}

// watch prints results as they come. A broken stream goes on from its cursor: no end is missed.
func watch(ctx context.Context, master pb.TaskServiceClient, specs []*pb.TaskSpec, names map[string]string) error {
	ask := &pb.WatchTasksRequest{}
	for _, spec := range specs {
		ask.TaskIds = append(ask.TaskIds, spec.TaskId)
	}
	for waiting := len(specs); waiting > 0; {
		stream, err := master.WatchTasks(ctx, ask)
		for err == nil && waiting > 0 {
			var news *pb.WatchTasksResponse
			if news, err = stream.Recv(); err != nil {
				break
			}
			for _, task := range news.Tasks {
				waiting--
				fmt.Printf("%s: %s\n", names[task.Spec.TaskId], told(task))
			}
			ask.Cursor = news.Cursor
		}
		if waiting > 0 && !worthRepeating(ctx, err) {
			return err
		}
	}
	return nil
}

func told(task *pb.Task) string {
	switch task.State {
	case pb.TaskState_TASK_STATE_SUCCEEDED:
		return string(task.Result.Data)
	case pb.TaskState_TASK_STATE_FAILED:
		return "failed: " + task.Failure.Message
	default:
		return "cancelled"
	}
}

// worthRepeating says whether the master could not be reached or had no room, and waits a moment.
func worthRepeating(ctx context.Context, err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.ResourceExhausted:
	default:
		return false
	}
	log.Printf("trying again: %v", err)
	select {
	case <-time.After(500 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // a random one, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
