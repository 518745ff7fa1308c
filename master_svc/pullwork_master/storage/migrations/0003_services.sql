-- Services: what somebody wants to be kept running.

CREATE TABLE services (
    name TEXT PRIMARY KEY,
    -- Of the last change, and of the last change of what its instances are made of.
    revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    -- A message of its own format.
    record BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);

-- The greatest ever given out, also if its service is gone.
ALTER TABLE meta ADD COLUMN last_service_revision INTEGER NOT NULL DEFAULT 0;

-- Whose what runs on the nodes is: the first id of the store, which a restored one keeps.
ALTER TABLE meta ADD COLUMN cluster_id TEXT NOT NULL DEFAULT '';
UPDATE meta SET cluster_id = store_id;

-- What an operator held up here was anybody's queue; from now on it is a node's, and nobody else
-- could let it go on.
UPDATE queues
SET paused = 0, tasks_max = 0, concurrency = 0, rate = 0, burst = 0,
    concurrency_per_key = 0, rate_per_key = 0, burst_per_key = 0, weight = 1
WHERE name >= 'pullwork.node/' AND name < 'pullwork.node0';
