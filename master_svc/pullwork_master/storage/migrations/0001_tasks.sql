-- The store as of 0.1. Times are milliseconds since 1970, UTC; 0 stands for "not yet" or "none".
-- For reading with the sqlite3 shell, see the view `task_list` at the end.

-- One row: who this store is, and counters that never go back.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL,
    -- Grows by one at each start of a master.
    term INTEGER NOT NULL,
    -- The greatest ever given out, also if its task is gone.
    last_seq INTEGER NOT NULL,
    last_revision INTEGER NOT NULL,
    -- The greatest revision that retention deleted: of all; of queues and of owners that `swept` forgot.
    swept_revision INTEGER NOT NULL,
    swept_queues_floor INTEGER NOT NULL,
    swept_owners_floor INTEGER NOT NULL
);

CREATE TABLE queues (
    name TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL,
    paused INTEGER NOT NULL
) WITHOUT ROWID;

-- What changes in a task's life and what it is found by. Short rows: each is written three times.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 16),
    queue TEXT NOT NULL,
    type TEXT NOT NULL,
    priority INTEGER NOT NULL,
    owner TEXT NOT NULL,
    unique_key TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    -- 1 SCHEDULED, 2 QUEUED, 3 RUNNING, 4 SUCCEEDED, 5 FAILED, 6 CANCELLED
    state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    deaths INTEGER NOT NULL,
    ready_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    -- When retention ends, and the place in the order of all ends: NULL while it has not ended,
    -- since every comparison then implies the condition of the indexes below.
    expires_ms INTEGER,
    revision INTEGER,
    -- Of the last attempt.
    session TEXT NOT NULL,
    worker TEXT NOT NULL,
    -- Of the accepted outcome.
    digest BLOB NOT NULL,
    -- JSON: an object, and an array of attempts.
    failure TEXT,
    history TEXT,
    result_content_type TEXT NOT NULL,
    -- Last, so that lists need not read them.
    checkpoint BLOB NOT NULL,
    result BLOB
);

-- What was submitted and never changes: a payload is written once, however often its task moves.
CREATE TABLE specs (
    seq INTEGER PRIMARY KEY,
    content_type TEXT NOT NULL,
    -- JSON: an object of strings.
    headers TEXT,
    not_before_ms INTEGER NOT NULL,
    execution_timeout_ms INTEGER NOT NULL,
    progress_timeout_ms INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    initial_ms INTEGER NOT NULL,
    max_ms INTEGER NOT NULL,
    multiplier REAL NOT NULL,
    max_worker_deaths INTEGER NOT NULL,
    retention_ms INTEGER NOT NULL,
    -- Of the content as submitted.
    digest BLOB NOT NULL,
    payload BLOB NOT NULL
);

-- The greatest revision that retention deleted, of the queues and owners last swept.
CREATE TABLE swept (
    kind TEXT NOT NULL CHECK (kind IN ('queue', 'owner')),
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Every index ends in `seq` by itself.
CREATE UNIQUE INDEX tasks_id ON tasks (id);
-- These two cost one append at the submission, since owner and queue never change.
CREATE INDEX tasks_by_owner ON tasks (owner);
CREATE INDEX tasks_by_queue ON tasks (queue);
-- A line in its order, and how many wait in it (with `state`, or counting would read the rows).
CREATE INDEX tasks_waiting ON tasks (state, queue, type, priority DESC) WHERE state = 2;
-- A queue's waiting tasks by age, for purge and cancel: they must not walk over ended ones.
CREATE INDEX tasks_waiting_age ON tasks (queue) WHERE state <= 2;
-- What becomes ready next; queue and type are there for counting.
CREATE INDEX tasks_scheduled ON tasks (state, ready_ms, seq, queue, type) WHERE state = 1;
-- What a start has to reconcile. Few.
CREATE INDEX tasks_running ON tasks (seq, queue, type) WHERE state = 3;
-- Dead letters. Few.
CREATE INDEX tasks_dead ON tasks (seq, queue, type) WHERE state >= 5;
-- All ends in order; queue and owner let a watcher pass over those of others without reading them.
CREATE INDEX tasks_ends ON tasks (revision, queue, owner) WHERE revision IS NOT NULL;
-- What retention deletes next.
CREATE INDEX tasks_expiring ON tasks (expires_ms) WHERE expires_ms IS NOT NULL;
-- Who holds a unique key.
CREATE INDEX tasks_unique ON tasks (queue, unique_key) WHERE unique_key <> '' AND state < 4;

-- For people.
CREATE VIEW task_list AS
SELECT
    seq,
    lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4)
        || '-' || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21)) AS task_id,
    queue,
    type,
    CASE state WHEN 1 THEN 'SCHEDULED' WHEN 2 THEN 'QUEUED' WHEN 3 THEN 'RUNNING'
        WHEN 4 THEN 'SUCCEEDED' WHEN 5 THEN 'FAILED' ELSE 'CANCELLED' END AS state,
    priority,
    owner,
    attempt,
    worker,
    datetime(created_ms / 1000, 'unixepoch') AS created,
    CASE WHEN started_ms > 0 THEN datetime(started_ms / 1000, 'unixepoch') END AS started,
    CASE WHEN ended_ms > 0 THEN datetime(ended_ms / 1000, 'unixepoch') END AS ended,
    json_extract(failure, '$.message') AS failure
FROM tasks;
