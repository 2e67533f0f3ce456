-- Timed work is called a job, and the row that a health check writes says so.
ALTER TABLE errand RENAME TO job;

DROP INDEX errand_open;
CREATE INDEX job_open ON job (kind, priority, due_at) WHERE standing = 'open';

DROP INDEX errand_leased;
CREATE INDEX job_leased ON job (kind, leased_until) WHERE lease_token IS NOT NULL;

ALTER TABLE canary RENAME TO health_check;
