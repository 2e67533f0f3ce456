//! Timed work: found in every partition, leased, finished or put back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, JobPriority, PaymentId, Timestamp};
use chasqui_redis_topology::{CallError, Partition, ScriptCall};
use chasqui_store::{JobAttempt, JobQueue, JobResult, LeasedJob, StoreError};
use redis::Value;

use super::payment_calls::{priorities, with_queues, writing};
use super::redis_store::{RedisStore, ms};
use super::replies::{self, read, unavailable};
use super::{keys, scripts, timeline};

/// How often due jobs are looked for again when other instances were quicker each time. Beyond it none are leased for now.
const ROUNDS: usize = 3;

#[async_trait]
impl JobQueue for RedisStore {
    /// Reads what is due in every partition, then leases what has waited longest.
    ///
    /// A partition that cannot be reached keeps its jobs: those of the others are leased all the same.
    async fn lease_due(
        &self,
        kind: JobKind,
        _now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut failing = Failing::default();
        for _ in 0..ROUNDS {
            let due = due(self, kind, limit, &mut failing).await?;
            if due.is_empty() {
                break;
            }
            let leased = lease_jobs(self, kind, lease, due, &mut failing).await?;
            if !leased.is_empty() {
                return Ok(leased);
            }
        }
        match failing.failure {
            Some(failure) => Err(unavailable(failure)),
            None => Ok(Vec::new()),
        }
    }

    async fn next_due(&self, kind: JobKind) -> Result<Option<Timestamp>, StoreError> {
        let calls: Vec<_> = Partition::all()
            .map(|partition| {
                let call = with_queues(scripts::NEXT_DUE.call(), partition, kind);
                (partition, call)
            })
            .collect();
        let (mut earliest, mut failing) = (None, Failing::default());
        for score in failing.run_all(self, &calls).await.into_iter().flatten() {
            let score: Option<String> = read(score)?;
            let due = score.as_deref().map(replies::timestamp).transpose()?;
            earliest = earliest.into_iter().chain(due).min();
        }
        match failing.failure {
            Some(failure) if earliest.is_none() => Err(unavailable(failure)),
            _ => Ok(earliest),
        }
    }

    async fn finish(
        &self,
        leased: &LeasedJob,
        result: &JobResult,
        attempt: Option<&JobAttempt>,
    ) -> Result<bool, StoreError> {
        let counted = leased.attempts.saturating_add(1);
        let (state, due_at, attempts) = match result {
            JobResult::Done => (keys::DONE, None, counted),
            JobResult::Dead => (keys::DEAD, None, counted),
            JobResult::Retry { due_at } => (keys::OPEN, Some(due_at), counted),
            JobResult::PutBack { due_at } => (keys::OPEN, Some(due_at), leased.attempts),
        };
        let (partition, call) = writing(self, &scripts::FINISH_JOB, &leased.payment_id);
        let call = with_queues(call, partition, leased.kind)
            .arg(leased.kind.as_str())
            .arg(leased.token)
            .arg(state)
            .arg(due_at.map_or(String::new(), |at| at.unix_ms().to_string()))
            .arg(attempts)
            .arg(attempt.map_or(String::new(), |attempt| {
                timeline::attempted(leased, attempt)
            }))
            .arg(leased.priority.rank())
            .arg(attempt.map_or(0, |attempt| attempt.at.unix_ms()))
            .arg(attempt.map_or("", |attempt| attempt.result.as_str()));
        self.run(partition, &call).await
    }
}

/// Partitions that cannot be read or written now: what is overdue there must not hold up the others.
#[derive(Default)]
struct Failing {
    partitions: BTreeSet<Partition>,
    failure: Option<CallError>,
}

impl Failing {
    /// The replies in the order of the calls; `None` for a partition that fails.
    async fn run_all(
        &mut self,
        store: &RedisStore,
        calls: &[(Partition, ScriptCall)],
    ) -> Vec<Option<Value>> {
        let replies = store.redis.run_all(calls).await.into_iter();
        let replies = replies.zip(calls).map(|(reply, (partition, _))| {
            let failed = |failure: &CallError| {
                self.partitions.insert(*partition);
                self.failure = Some(failure.clone());
            };
            reply.inspect_err(failed).ok()
        });
        replies.collect()
    }
}

/// Its priority, the moment from which it can be leased, and its payment.
type Due = (JobPriority, Timestamp, PaymentId);

async fn due(
    store: &RedisStore,
    kind: JobKind,
    limit: usize,
    failing: &mut Failing,
) -> Result<Vec<Due>, StoreError> {
    let calls: Vec<_> = Partition::all()
        .filter(|partition| !failing.partitions.contains(partition))
        .map(|partition| {
            let call = with_queues(scripts::DUE.call(), partition, kind);
            (partition, call.arg(limit))
        })
        .collect();
    let mut due = Vec::new();
    for entries in failing.run_all(store, &calls).await.into_iter().flatten() {
        let entries: Vec<Vec<(String, String)>> = read(entries)?;
        for (priority, entries) in priorities(kind).iter().zip(entries) {
            for (id, score) in entries {
                let (due_at, id) = (replies::timestamp(&score)?, replies::payment_id(&id)?);
                due.push((*priority, due_at, id));
            }
        }
    }
    due.sort_unstable();
    due.truncate(limit);
    Ok(due)
}

/// Its rank among all candidates, its payment, and the token that its lease will have.
type Candidate = (usize, PaymentId, u64);

/// A lease is durable: a replica that has not seen it would lease the job again once it is promoted.
async fn lease_jobs(
    store: &RedisStore,
    kind: JobKind,
    lease: Duration,
    due: Vec<Due>,
    failing: &mut Failing,
) -> Result<Vec<LeasedJob>, StoreError> {
    let mut by_partition: BTreeMap<Partition, Vec<Candidate>> = BTreeMap::new();
    for (rank, (_, _, id)) in due.into_iter().enumerate() {
        let candidates = by_partition.entry(Partition::of(id.as_str())).or_default();
        // Random, so that no forgotten lease of a check matches a new one.
        candidates.push((rank, id, rand::random()));
    }
    let calls: Vec<_> = by_partition
        .iter()
        .map(|(partition, candidates)| {
            let call = leasing(kind, lease, *partition, candidates);
            (*partition, call)
        })
        .collect();
    let mut leased_jobs = Vec::new();
    let replies = failing.run_all(store, &calls).await;
    for (candidates, reply) in by_partition.into_values().zip(replies) {
        let Some(found) = reply else {
            continue;
        };
        let found: Vec<Option<(u32, u8)>> = read(found)?;
        for ((rank, payment_id, token), found) in candidates.into_iter().zip(found) {
            let Some((attempts, priority)) = found else {
                continue;
            };
            let leased = LeasedJob {
                kind,
                payment_id,
                attempts,
                priority: JobPriority::from_rank(priority)
                    .ok_or_else(|| replies::damaged("job's priority"))?,
                token,
            };
            leased_jobs.push((rank, leased));
        }
    }
    leased_jobs.sort_unstable_by_key(|(rank, _)| *rank);
    Ok(leased_jobs.into_iter().map(|(_, leased)| leased).collect())
}

/// Leases the candidates of one partition, except those that another holder has leased meanwhile.
pub(super) fn leasing(
    kind: JobKind,
    lease: Duration,
    partition: Partition,
    candidates: &[Candidate],
) -> ScriptCall {
    let call = with_queues(scripts::LEASE.call(), partition, kind)
        .arg(kind.as_str())
        .arg(ms(lease))
        .arg(priorities(kind).len());
    candidates.iter().fold(call, |call, (_, id, token)| {
        call.key(keys::payment(id)).arg(id.as_str()).arg(*token)
    })
}
