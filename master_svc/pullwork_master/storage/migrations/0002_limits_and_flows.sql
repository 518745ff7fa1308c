-- Limits of queues, limit keys of tasks, and the flows in which a line is shared.

-- What an operator allows a queue; 0: no limit. Rates are of tasks started in a second.
ALTER TABLE queues ADD COLUMN tasks_max INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN concurrency INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN rate REAL NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN burst INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN concurrency_per_key INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN rate_per_key REAL NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN burst_per_key INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN weight INTEGER NOT NULL DEFAULT 1;

-- Whose share of the queue's limits per key it takes.
ALTER TABLE specs ADD COLUMN limit_key TEXT NOT NULL DEFAULT '';

-- A hash of owner and limit key: whose turn it is, where one line is shared.
ALTER TABLE tasks ADD COLUMN flow INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET flow = flow_of(owner, '');

-- Each flow of a line in its order, and how many wait in it (with `state`, or counting would read
-- the rows).
DROP INDEX tasks_waiting;
CREATE INDEX tasks_waiting ON tasks (state, queue, type, flow, priority DESC) WHERE state = 2;
