"""The SQL of the SQLite storage: every statement with a line of why.

Where an index must be used it is named: a plan that changes with the data's shape is a surprise
at the wrong moment. `CROSS JOIN` is SQLite's word for "in this order".
"""

from __future__ import annotations

from pullwork_master.core.model import Limits, ServiceRow
from pullwork_master.storage.sqlite_rows import CHANGING, SPEC, TASK


def marks(count: int) -> str:
    """Places for that many values."""
    return ",".join("?" * count)


def _columns(left_out: frozenset[str]) -> str:
    emptied = {"t.checkpoint": "x''", "t.result": "NULL", "s.payload": "x''"}
    names = [f"t.{name}" for name in TASK] + [f"s.{name}" for name in SPEC if name != "seq"]
    return ", ".join(emptied[name] if name in left_out else name for name in names)


# What is shown of a task: all; what a watcher gets; a line of a list.
WHOLE = _columns(frozenset())
WITHOUT_PAYLOAD = _columns(frozenset({"t.checkpoint", "s.payload"}))
OUTLINE = _columns(frozenset({"t.checkpoint", "t.result", "s.payload"}))

# --- what a commit does ------------------------------------------------------------------

# A new task, in whatever state its first step left it.
INSERT_TASK = f"INSERT INTO tasks ({', '.join(TASK)}) VALUES ({marks(len(TASK))})"
# The part of it that is written only once.
INSERT_SPEC = f"INSERT INTO specs ({', '.join(SPEC)}) VALUES ({marks(len(SPEC))})"
# All that can change: one statement for every step of a life, since a batch may hold several
# of them and a narrower one would leave traces of the earlier.
UPDATE_TASK = f"UPDATE tasks SET {', '.join(f'{name} = ?' for name in CHANGING)} WHERE seq = ?"
# A queue comes to be, is paused or resumed, or gets other limits.
_QUEUE = ("name", "created_ms", "paused", *Limits._fields)
PUT_QUEUE = f"INSERT OR REPLACE INTO queues ({', '.join(_QUEUE)}) VALUES ({marks(len(_QUEUE))})"
DELETE_QUEUE = "DELETE FROM queues WHERE name = ?"
# A service comes to be or is changed, or is gone.
PUT_SERVICE = f"""INSERT OR REPLACE INTO services ({", ".join(ServiceRow._fields)})
    VALUES ({marks(len(ServiceRow._fields))})"""
DELETE_SERVICE = "DELETE FROM services WHERE name = ?"
# It only grows, also when the service that had the greatest is gone.
RAISE_SERVICE_REVISION = "UPDATE meta SET last_service_revision = max(last_service_revision, ?)"
# Counters only grow, also when the task that had the greatest is deleted or retried.
RAISE_COUNTERS = "UPDATE meta SET last_seq = ?, last_revision = ?"

# What retention ends next, and what watchers must know of it.
DUE = """SELECT t.seq, coalesce(t.revision, 0), t.queue, t.owner
    FROM tasks t INDEXED BY tasks_expiring
    WHERE t.expires_ms <= ? AND t.state >= 4
    ORDER BY t.expires_ms, t.seq LIMIT ?"""
DELETE_TASK = "DELETE FROM tasks WHERE seq = ?"
DELETE_SPEC = "DELETE FROM specs WHERE seq = ?"
# A cursor of this queue or owner below this revision may have missed ends.
NOTE_SWEPT = """INSERT INTO swept (kind, name, revision) VALUES (?, ?, ?)
    ON CONFLICT (kind, name) DO UPDATE SET revision = max(revision, excluded.revision)"""
NOTE_SWEPT_ANY = "UPDATE meta SET swept_revision = max(swept_revision, ?)"
COUNT_SWEPT = "SELECT count(*) FROM swept WHERE kind = ?"
# Names that are forgotten raise the floor for all that have no row.
OLDEST_SWEPT = "SELECT name, revision FROM swept WHERE kind = ? ORDER BY revision, name LIMIT ?"
FORGET_SWEPT = "DELETE FROM swept WHERE kind = ? AND name = ?"
RAISE_SWEPT_FLOOR = {
    "queue": "UPDATE meta SET swept_queues_floor = max(swept_queues_floor, ?)",
    "owner": "UPDATE meta SET swept_owners_floor = max(swept_owners_floor, ?)",
}

# --- what a start needs ------------------------------------------------------------------

# The first start of a folder.
FOUND_STORE = "INSERT OR IGNORE INTO meta VALUES (1, ?1, 0, 0, 0, 0, 0, 0, 0, ?1)"
# Before anything else happens under it.
BUMP_TERM = "UPDATE meta SET term = term + 1"
META = """SELECT term, store_id, last_seq, last_revision, last_service_revision, cluster_id
    FROM meta"""
QUEUES = f"SELECT {', '.join(_QUEUE)} FROM queues ORDER BY name"
SERVICES = f"SELECT {', '.join(ServiceRow._fields)} FROM services ORDER BY name"
# Both counts walk over an index only.
COUNT_QUEUED = """SELECT queue, type, flow, count(*), max(priority)
    FROM tasks INDEXED BY tasks_waiting
    WHERE state = 2 GROUP BY queue, type, flow"""
COUNT_SCHEDULED = """SELECT queue, type, count(*) FROM tasks INDEXED BY tasks_scheduled
    WHERE state = 1 GROUP BY queue, type ORDER BY queue, type"""
# Their workers may come back for them.
RUNNING = f"""SELECT {WHOLE} FROM tasks t INDEXED BY tasks_running
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE t.state = 3 ORDER BY t.seq"""

# --- what a step needs to see ------------------------------------------------------------

# Only whether they exist, and their digest.
KNOWN = """SELECT t.id, s.digest FROM tasks t
    CROSS JOIN specs s ON s.seq = t.seq WHERE t.id IN ({marks})"""
BY_IDS = """SELECT {columns} FROM tasks t
    CROSS JOIN specs s ON s.seq = t.seq WHERE t.id IN ({marks})"""
BY_SEQS = f"""SELECT {WHOLE} FROM tasks t
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE t.seq IN (SELECT value FROM json_each(?))"""
# Who waits or runs under a unique key.
BY_UNIQUE_KEY = f"""SELECT {WHOLE} FROM tasks t INDEXED BY tasks_unique
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE t.queue = ? AND t.unique_key = ? AND t.unique_key <> '' AND t.state < 4 ORDER BY t.seq"""
_FLOW = f"""SELECT {WHOLE} FROM tasks t INDEXED BY tasks_waiting
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE t.state = 2 AND t.queue = ? AND t.type = ? AND t.flow = ?"""
# What follows in a flow, in two steps, of which each is one seek: the same priority, then the
# lower.
PAGE_SAME = f"{_FLOW} AND t.priority = ? AND t.seq > ? ORDER BY t.seq LIMIT ?"
PAGE_LOWER = f"{_FLOW} AND t.priority < ? ORDER BY t.priority DESC, t.seq LIMIT ?"
# What becomes ready next, in two steps as a flow's.
_SCHEDULE = f"""SELECT {WHOLE} FROM tasks t INDEXED BY tasks_scheduled
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE t.state = 1"""
SCHEDULE_SAME = f"{_SCHEDULE} AND t.ready_ms = ? AND t.seq > ? ORDER BY t.seq LIMIT ?"
SCHEDULE_LATER = f"{_SCHEDULE} AND t.ready_ms > ? ORDER BY t.ready_ms, t.seq LIMIT ?"

# --- what views need ---------------------------------------------------------------------

LAST_REVISION = "SELECT last_revision FROM meta"
# A page of ends looks at this many at most, also if none of them match, so that a watcher of a
# quiet owner cannot hold the reader for long.
ENDS_SCANNED_MAX = 50_000
# The revision at which such a page has to stop.
ENDS_BOUND = """SELECT revision FROM tasks INDEXED BY tasks_ends
    WHERE revision > ? ORDER BY revision LIMIT 1 OFFSET ?"""
ENDS = """SELECT {columns} FROM tasks t INDEXED BY tasks_ends
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE t.revision > ? AND t.revision <= ?{chosen}
    ORDER BY t.revision LIMIT ?"""
# What retention deleted: of all, and of a queue or an owner as far as it is remembered.
SWEPT_ANY = "SELECT swept_revision FROM meta"
SWEPT = {
    "queue": """SELECT coalesce((SELECT revision FROM swept WHERE kind = 'queue' AND name = ?),
        (SELECT swept_queues_floor FROM meta))""",
    "owner": """SELECT coalesce((SELECT revision FROM swept WHERE kind = 'owner' AND name = ?),
        (SELECT swept_owners_floor FROM meta))""",
}

# What has not ended in the queues of a range of names: what waits and what runs, by an index each.
LIVE = tuple(
    f"""SELECT {WHOLE} FROM tasks t INDEXED BY {index}
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE {state} AND t.queue >= ?1 AND t.queue < ?2"""
    for index, state in (("tasks_waiting_age", "t.state <= 2"), ("tasks_running", "t.state = 3"))
)
# The queues in which tasks wait: one seek each, however many tasks there are.
WAITING_QUEUES = """WITH RECURSIVE q (name) AS (
    SELECT min(queue) FROM tasks INDEXED BY tasks_waiting_age WHERE state <= 2
    UNION ALL
    SELECT (SELECT min(queue) FROM tasks INDEXED BY tasks_waiting_age
        WHERE state <= 2 AND queue > q.name) FROM q WHERE q.name IS NOT NULL)
    SELECT name FROM q WHERE name IS NOT NULL"""
# Since when the next task of each flow and priority of a line waits, and of these the first: a few
# seeks for each flow and priority in use, however many tasks wait.
_IN_LINE = "tasks INDEXED BY tasks_waiting WHERE state = 2 AND queue = ?1 AND type = ?2"
WAITING_SINCE = f"""WITH RECURSIVE f (flow) AS (
    SELECT min(flow) FROM {_IN_LINE}
    UNION ALL
    SELECT (SELECT min(flow) FROM {_IN_LINE} AND flow > f.flow) FROM f WHERE f.flow IS NOT NULL),
    p (flow, priority) AS (
    SELECT flow, (SELECT max(priority) FROM {_IN_LINE} AND flow = f.flow)
        FROM f WHERE f.flow IS NOT NULL
    UNION ALL
    SELECT flow, (SELECT max(priority) FROM {_IN_LINE} AND flow = p.flow AND priority < p.priority)
        FROM p WHERE p.priority IS NOT NULL)
    SELECT min(max(t.created_ms, t.ready_ms)) FROM p CROSS JOIN tasks t ON t.seq = (
        SELECT min(seq) FROM {_IN_LINE} AND flow = p.flow AND priority = p.priority)"""
# One part of a search, walking along one index in order of `seq`; see `sqlite_search`.
SEARCH = """SELECT {columns} FROM tasks t {access}
    CROSS JOIN specs s ON s.seq = t.seq
    WHERE {where} ORDER BY t.seq {order} LIMIT ?"""
