-- Timed work is called a job.
ALTER TABLE errand RENAME TO job;

DROP INDEX errand_open;
CREATE INDEX job_open ON job (kind, priority, due_at) WHERE standing = 'open';

DROP INDEX errand_leased;
CREATE INDEX job_leased ON job (kind, leased_until) WHERE lease_token IS NOT NULL;
