//! Timed work: found in every partition, taken under a lease, settled or put back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisStore, ms, payments, replies, timeline};
use crate::payment::{JobKind, PaymentId, Priority, Timestamp};
use crate::redis::{Call, Failure, Partition, Script};
use crate::store::{JobAttempt, JobResult, LeasedJob, StoreError};

static PEEK: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("clock.lua"), include_str!("peek.lua"))));
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("clock.lua"),
        include_str!("job.lua"),
        include_str!("claim.lua"),
    ))
});
static NEXT_DUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("next_due.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("clock.lua"),
        include_str!("payment.lua"),
        include_str!("job.lua"),
        include_str!("settle.lua"),
    ))
});

/// How often a claim looks again when others were quicker each time. Beyond it there is nothing to claim for now.
const ROUNDS: usize = 3;

/// Looks at every partition first, then takes what has waited longest of all that was seen.
///
/// A partition that cannot be reached keeps what is in it: what the others have is claimed all the same.
pub(super) async fn lease_due(
    store: &RedisStore,
    kind: JobKind,
    now: Timestamp,
    limit: usize,
    lease: Duration,
) -> Result<Vec<LeasedJob>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut failing = Failing::default();
    for _ in 0..ROUNDS {
        let due = peek(store, kind, now, limit, &mut failing).await?;
        if due.is_empty() {
            break;
        }
        let taken = take(store, kind, now, lease, due, &mut failing).await?;
        if !taken.is_empty() {
            return Ok(taken);
        }
    }
    match failing.why {
        Some(error) => Err(error.into()),
        None => Ok(Vec::new()),
    }
}

/// Partitions that cannot be read or written now: what is overdue there must not stand in the way of the others'.
#[derive(Default)]
struct Failing {
    partitions: BTreeSet<Partition>,
    why: Option<Failure>,
}

impl Failing {
    fn add(&mut self, partition: Partition, why: Failure) {
        self.partitions.insert(partition);
        self.why = Some(why);
    }
}

/// Its priority, the moment from which it can be claimed, and whose job it is.
type Due = (Priority, Timestamp, PaymentId);

async fn peek(
    store: &RedisStore,
    kind: JobKind,
    now: Timestamp,
    limit: usize,
    failing: &mut Failing,
) -> Result<Vec<Due>, StoreError> {
    let clock = store.clock.argument(now);
    let calls: Vec<_> = Partition::all()
        .filter(|partition| !failing.partitions.contains(partition))
        .map(|partition| {
            let call = with_agendas(PEEK.call(), partition, kind);
            (partition, call.arg(&clock).arg(limit))
        })
        .collect();
    let mut due = Vec::new();
    let replies = store.redis.run_all(&calls).await;
    for ((partition, _), reply) in calls.into_iter().zip(replies) {
        match reply {
            Ok(entries) => {
                let entries: Vec<Vec<(String, String)>> = replies::read(entries)?;
                for (priority, entries) in priorities(kind).iter().zip(entries) {
                    for (id, score) in entries {
                        due.push((*priority, replies::moment(&score)?, parse_id(&id)?));
                    }
                }
            }
            Err(error) => failing.add(partition, error),
        }
    }
    due.sort_unstable();
    due.truncate(limit);
    Ok(due)
}

/// Its rank among what is wanted, whose job it is, and the token that its lease will have.
type Wanted = (usize, PaymentId, u64);

/// A lease that a replica has not seen is none: the one that is promoted would give it to another.
async fn take(
    store: &RedisStore,
    kind: JobKind,
    now: Timestamp,
    lease: Duration,
    due: Vec<Due>,
    failing: &mut Failing,
) -> Result<Vec<LeasedJob>, StoreError> {
    let mut of_partition: BTreeMap<Partition, Vec<Wanted>> = BTreeMap::new();
    for (rank, (_, _, id)) in due.into_iter().enumerate() {
        let wanted = of_partition.entry(Partition::of(id.as_str())).or_default();
        // Random, so that no lease of a check that is long forgotten matches one of today.
        wanted.push((rank, id, rand::random()));
    }
    let calls: Vec<_> = of_partition
        .iter()
        .map(|(partition, wanted)| {
            let call = claiming(store, kind, now, lease, *partition, wanted);
            (*partition, call)
        })
        .collect();
    let mut taken = Vec::new();
    let replies = store.redis.run_all_durably(&calls).await;
    for ((partition, wanted), reply) in of_partition.into_iter().zip(replies) {
        match reply {
            Ok(found) => {
                let found: Vec<Option<(u32, u8)>> = replies::read(found)?;
                for ((rank, payment_id, token), found) in wanted.into_iter().zip(found) {
                    let leased = found.map(|(attempts, priority)| LeasedJob {
                        kind,
                        payment_id,
                        attempts,
                        // A delivery's and what a newer chasqui wrote are the usual.
                        priority: match kind {
                            JobKind::Check => Priority::from_rank(priority).unwrap_or_default(),
                            JobKind::Delivery => Priority::default(),
                        },
                        token,
                    });
                    taken.extend(leased.map(|leased| (rank, leased)));
                }
            }
            Err(error) => failing.add(partition, error),
        }
    }
    taken.sort_unstable_by_key(|(rank, _)| *rank);
    Ok(taken.into_iter().map(|(_, leased)| leased).collect())
}

/// Takes what is wanted of one partition, as far as nobody else has.
pub(super) fn claiming(
    store: &RedisStore,
    kind: JobKind,
    now: Timestamp,
    lease: Duration,
    partition: Partition,
    wanted: &[Wanted],
) -> Call {
    let call = with_agendas(CLAIM.call(), partition, kind)
        .arg(store.clock.argument(now))
        .arg(kind.as_str())
        .arg(ms(lease))
        .arg(priorities(kind).len());
    wanted.iter().fold(call, |call, (_, id, token)| {
        call.key(partition.key("payment", id.as_str()))
            .arg(id.as_str())
            .arg(*token)
    })
}

pub(super) async fn next_due(
    store: &RedisStore,
    kind: JobKind,
) -> Result<Option<Timestamp>, StoreError> {
    let calls: Vec<_> = Partition::all()
        .map(|partition| (partition, with_agendas(NEXT_DUE.call(), partition, kind)))
        .collect();
    let (mut earliest, mut failure) = (None, None);
    for reply in store.redis.run_all(&calls).await {
        match reply {
            Ok(score) => {
                let score: Option<String> = replies::read(score)?;
                let due = score.as_deref().map(replies::moment).transpose()?;
                earliest = earliest.into_iter().chain(due).min();
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if earliest.is_none() => Err(error.into()),
        _ => Ok(earliest),
    }
}

pub(super) async fn finish(
    store: &RedisStore,
    leased: &LeasedJob,
    settlement: &JobResult,
    attempt: Option<&JobAttempt>,
) -> Result<bool, StoreError> {
    let tried = leased.attempts.saturating_add(1);
    let (ending, due_at, attempts) = match settlement {
        JobResult::Done => ("done", None, tried),
        JobResult::Dead => ("dead", None, tried),
        JobResult::Retry { due_at } => ("open", Some(due_at), tried),
        JobResult::PutBack { due_at } => ("open", Some(due_at), leased.attempts),
    };
    let (partition, call) = payments::writing(store, &SETTLE, &leased.payment_id);
    let call = with_agendas(call, partition, leased.kind)
        .arg(leased.payment_id.as_str())
        .arg(leased.kind.as_str())
        .arg(leased.token)
        .arg(ending)
        .arg(due_at.map_or(String::new(), |at| at.unix_ms().to_string()))
        .arg(attempts)
        .arg(attempt.map_or(String::new(), |attempt| {
            timeline::attempted(leased, attempt)
        }))
        .arg(leased.priority.rank());
    replies::read(store.redis.run(partition, &call).await?)
}

/// The kind's agendas are by these, the highest first.
fn priorities(kind: JobKind) -> &'static [Priority] {
    match kind {
        JobKind::Delivery => &[Priority::Silent],
        JobKind::Check => &Priority::ALL,
    }
}

pub(super) fn with_agendas(call: Call, partition: Partition, kind: JobKind) -> Call {
    let priorities = priorities(kind).iter();
    priorities.fold(call, |call, priority| {
        call.key(partition.key("agenda", job_queue(kind, *priority)))
    })
}

/// Until checks had priorities they had one agenda, and its name is still that of most of them.
fn job_queue(kind: JobKind, priority: Priority) -> &'static str {
    match (kind, priority) {
        (JobKind::Delivery, _) => "delivery",
        (JobKind::Check, Priority::Notified) => "check:notified",
        (JobKind::Check, Priority::Silent) => "check",
        (JobKind::Check, Priority::CrossCheck) => "check:cross",
    }
}

fn parse_id(text: &str) -> Result<PaymentId, StoreError> {
    PaymentId::parse(text).map_err(|_| replies::damaged("payment id"))
}
