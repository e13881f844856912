"""The tables of the store, step by step: a step that was published is never changed, a new one is added behind it."""

from __future__ import annotations

from typing import Final

_JOBS: Final = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    path TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,
    seconds REAL NOT NULL,
    priority INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    callback_url TEXT NOT NULL,
    has_name INTEGER NOT NULL,
    retry_of TEXT NOT NULL,
    state TEXT NOT NULL,
    money TEXT NOT NULL,
    estimate INTEGER NOT NULL,
    actual INTEGER,
    account TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 1,
    task_id TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    submitted_at REAL NOT NULL DEFAULT 0,
    ended_at REAL NOT NULL DEFAULT 0,
    next_at REAL NOT NULL DEFAULT 0,
    lease_until REAL NOT NULL DEFAULT 0,
    claim TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    is_discarded INTEGER NOT NULL DEFAULT 0,
    deleted_at REAL NOT NULL DEFAULT 0,
    object_name TEXT NOT NULL DEFAULT '',
    sha256 TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL DEFAULT 0,
    -- What the queue of a tenant is sorted by.
    position REAL NOT NULL
);
-- SQLite uses an index of some states for a question that names them in the same order.
CREATE INDEX jobs_waiting ON jobs (tenant, model, position, id) WHERE state = 'queued';
CREATE INDEX jobs_held ON jobs (tenant, account, model) WHERE state IN ('in_doubt', 'processing', 'submitting');
CREATE INDEX jobs_due ON jobs (next_at)
    WHERE state IN ('fetching', 'in_doubt', 'processing', 'submitting');
CREATE INDEX jobs_of_tenant ON jobs (tenant, created_at, id);
CREATE INDEX jobs_by_age ON jobs (created_at, id);

-- Beside their jobs: one may hold pictures, and whoever reads a list of jobs wants none of them.
CREATE TABLE bodies (
    job TEXT PRIMARY KEY REFERENCES jobs (id),
    body TEXT NOT NULL
);

CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs (id),
    at REAL NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    reason TEXT NOT NULL,
    worker TEXT NOT NULL
);
CREATE INDEX events_of_job ON events (job, number);

CREATE TABLE budgets (
    name TEXT PRIMARY KEY,
    spent INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE reservations (
    job TEXT NOT NULL REFERENCES jobs (id),
    budget TEXT NOT NULL REFERENCES budgets (name),
    amount INTEGER NOT NULL,
    PRIMARY KEY (job, budget)
);
-- One line for each change of money: reserved, settled, released.
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs (id),
    at REAL NOT NULL,
    entry TEXT NOT NULL,
    amount INTEGER NOT NULL
);
CREATE INDEX ledger_of_job ON ledger (job, number);

CREATE TABLE lanes (
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    task_limit INTEGER,
    learned_at REAL NOT NULL,
    paused_until REAL NOT NULL,
    reason TEXT NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (account, model)
);

CREATE TABLE repeats (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    job TEXT NOT NULL REFERENCES jobs (id),
    PRIMARY KEY (tenant, key)
);
"""

_TENANTS: Final = """
-- Of a key, only the SHA-256 is kept.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    note TEXT NOT NULL,
    daily INTEGER,
    monthly INTEGER,
    created_at REAL NOT NULL,
    revoked_at REAL NOT NULL DEFAULT 0
);

-- Webhooks to customers: one for each job that has ended and names a receiver.
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id),
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    next_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    claim TEXT NOT NULL DEFAULT '',
    lease_until REAL NOT NULL DEFAULT 0,
    status INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT '',
    ended_at REAL NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_of_job ON deliveries (job);
-- Receivers that have said 410: nothing is sent there any more.
CREATE TABLE closed_receivers (
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (tenant, url)
);

-- Tasks at Kling under names of ours that no job here has, as after a restored backup.
CREATE TABLE orphans (
    account TEXT NOT NULL,
    task_id TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    status TEXT NOT NULL,
    found_at REAL NOT NULL,
    PRIMARY KEY (account, task_id)
);
CREATE INDEX jobs_of_task ON jobs (account, task_id) WHERE task_id <> '';

CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""

_OVERVIEW: Final = """
-- What the page shows of a tenant: how many jobs are in each state, and what was stored of late.
CREATE INDEX jobs_by_state ON jobs (tenant, state, ended_at);
CREATE INDEX repeats_of_body ON repeats (tenant, body_hash);
"""

_PINNED: Final = """
-- The account that alone may buy a job: what it is made of lies there, or a create of it may have arrived there.
ALTER TABLE jobs ADD COLUMN pinned_to TEXT NOT NULL DEFAULT '';
DROP INDEX jobs_waiting;
CREATE INDEX jobs_waiting ON jobs (tenant, model, pinned_to, position, id) WHERE state = 'queued';
"""

_ALARMS: Final = """
-- Webhooks are about a job, or say themselves what they are about, to whoever looks after the platform.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    job TEXT REFERENCES jobs (id),
    event TEXT NOT NULL DEFAULT '',
    data TEXT NOT NULL DEFAULT '',
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    next_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    claim TEXT NOT NULL DEFAULT '',
    lease_until REAL NOT NULL DEFAULT 0,
    status INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT '',
    ended_at REAL NOT NULL DEFAULT 0
);
INSERT INTO webhooks (id, job, tenant, url, state, created_at, next_at, tries, claim, lease_until, status, problem,
    ended_at)
    SELECT id, job, tenant, url, state, created_at, next_at, tries, claim, lease_until, status, problem, ended_at
    FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE webhooks RENAME TO deliveries;
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_of_job ON deliveries (job);
"""

_FAULTS: Final = """
-- How often a job's file was missing or wrong; how often it could not be asked for is no fault of it.
ALTER TABLE jobs ADD COLUMN faults INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS: Final = (_JOBS, _TENANTS, _OVERVIEW, _PINNED, _ALARMS, _FAULTS)
