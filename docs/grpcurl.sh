#!/usr/bin/env bash
# Goes through the whole contract by hand, with nothing but grpcurl and server reflection:
# submits a task as a client, runs it as a worker, and sees the watch deliver the result; then makes
# a service, scales it and ends it.
# docs/grpcurl.md explains each step.
#
# usage: docs/grpcurl.sh [HOST:PORT]      (GRPCURL names the program, if it is not on PATH)
# It needs bash 4.1 or newer, and GNU's sed and base64.
set -euo pipefail

address=${1:-127.0.0.1:7733}
grpcurl=${GRPCURL:-grpcurl}
# Names of this run, so that it meets nobody else's tasks.
queue="grpcurl-$$"
patience_s=20

step() { printf '\n## %s\n' "$*" >&2; }

# call METHOD JSON: one call, as a person would type it.
call() {
  echo "$ grpcurl -plaintext -d '$2' $address pullwork.v1.$1" >&2
  local answer
  answer=$("$grpcurl" -plaintext -d "$2" "$address" "pullwork.v1.$1")
  echo "$answer" >&2
  echo "$answer"
}

# field NAME: the text field of that name in the answer on standard input; some versions of
# grpcurl write it as in the proto, others as in JSON.
field() {
  local camel
  # shellcheck disable=SC2001
  camel=$(sed 's/_\(.\)/\U\1/g' <<<"$1")
  sed -n "s/.*\"\($1\|$camel\)\": \"\([^\"]*\)\".*/\2/p"
}

# hear DESCRIPTOR PATTERN: prints what a stream tells until a line has the pattern.
hear() {
  while IFS= read -r -t "$patience_s" line <&"$1"; do
    echo "$line" >&2
    [[ $line != *"$2"* ]] || return 0
  done
  echo "nothing about $2 in $patience_s s" >&2
  return 1
}

streams=()
trap 'kill "${streams[@]}" 2>/dev/null || true' EXIT

if ! command -v "$grpcurl" >/dev/null; then
  echo "there is no program $grpcurl: install it, or name it by GRPCURL; docs/grpcurl.md tells how" >&2
  exit 2
fi

step "Which services are there?"
"$grpcurl" -plaintext "$address" list >&2

step "What does a worker call?"
"$grpcurl" -plaintext "$address" describe pullwork.v1.MasterService >&2

step "As a client: watch the queue; the first message says that the watch stands"
exec {watch}< <(exec "$grpcurl" -plaintext -d "{\"queue\": \"$queue\"}" \
  "$address" pullwork.v1.TaskService/WatchTasks)
streams+=($!)
hear "$watch" cursor

step "Submit a task; a payload is bytes, so it is base64 here"
payload=$(printf '{"name": "world"}' | base64 -w 0)
task_id=$(call TaskService/SubmitTasks "{\"tasks\": [{\"queue\": \"$queue\", \"type\": \"demo.greet\",
  \"payload\": \"$payload\", \"content_type\": \"application/json\"}]}" | field task_id)

step "Why does it not run?"
call TaskService/ExplainTask "{\"task_id\": \"$task_id\"}" >/dev/null

step "As a worker: register"
session=$(call MasterService/Register "{\"worker_name\": \"by-hand-$$\", \"boot_id\": \"$RANDOM$RANDOM\",
  \"queues\": [\"$queue\"], \"task_types\": [\"demo.greet\"], \"slots\": 1}" | field session_id)

step "Listen: a task waits, so the master says so at once"
exec {incoming}< <(exec "$grpcurl" -plaintext -d "{\"session_id\": \"$session\"}" \
  "$address" pullwork.v1.MasterService/TaskIncoming)
streams+=($!)
hear "$incoming" available

step "Ask for it"
token=$(call MasterService/RequestTask "{\"session_id\": \"$session\", \"max_tasks\": 1,
  \"request_id\": \"first\"}" | field lease_token)

step "Tell the master what is held, as a worker does every few seconds"
call MasterService/Heartbeat "{\"session_id\": \"$session\", \"held\": [
  {\"lease_token\": \"$token\", \"started\": true, \"message\": \"thinking of a greeting\"}]}" >/dev/null

step "Report the result"
result=$(printf '"Hello, world!"' | base64 -w 0)
report="{\"session_id\": \"$session\", \"outcomes\": [{\"lease_token\": \"$token\",
  \"success\": {\"data\": \"$result\", \"content_type\": \"application/json\"}}]}"
[[ $(call MasterService/ReportResult "$report") == *VERDICT_ACCEPTED* ]]

step "Report it again, as after a lost answer: it is accepted again, and changes nothing"
[[ $(call MasterService/ReportResult "$report") == *VERDICT_ACCEPTED* ]]

step "The client's watch delivers it"
hear "$watch" "$result"

step "Stop listening, and leave"
kill "${streams[1]}"
call MasterService/Deregister "{\"session_id\": \"$session\", \"reason\": \"done\"}" >/dev/null

step "Have a program kept running: make a service"
service="grpcurl-$$"
call OrchestratorService/CreateService "{\"name\": \"$service\",
  \"spec\": {\"command\": [\"sleep\", \"3600\"], \"instances\": 2}}" >/dev/null

step "Look at it, with all that was filled in"
call OrchestratorService/GetService "{\"name\": \"$service\"}" >/dev/null

step "Scale it, and look at its instances: without a node they wait, and say why"
call OrchestratorService/ScaleService "{\"name\": \"$service\", \"instances\": 1}" >/dev/null
call OrchestratorService/ListInstances "{\"service\": \"$service\"}" >/dev/null

step "End it"
call OrchestratorService/DeleteService "{\"name\": \"$service\"}" >/dev/null

printf '\nTask %s is done: %s\n' "$task_id" "$(base64 -d <<<"$result")"
