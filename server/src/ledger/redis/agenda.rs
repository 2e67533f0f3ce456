//! Timed work: found in every partition, taken under a lease, settled or put back.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use super::{RedisLedger, ms, payments, replies, timeline};
use crate::ledger::{Attempt, Leased, LedgerError, Settlement};
use crate::payment::{ErrandKind, PaymentId, Timestamp};
use crate::redis::{Call, Partition, Script};

static PEEK: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("clock.lua"), include_str!("peek.lua"))));
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("clock.lua"),
        include_str!("errand.lua"),
        include_str!("claim.lua"),
    ))
});
static NEXT_DUE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("next_due.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("clock.lua"),
        include_str!("payment.lua"),
        include_str!("errand.lua"),
        include_str!("settle.lua"),
    ))
});

/// How often a claim looks again when others were quicker each time. Beyond it there is nothing to claim for now.
const ROUNDS: usize = 3;

/// Looks at every partition first, then takes what has waited longest of all that was seen.
///
/// A partition that cannot be reached keeps what is in it: what the others have is claimed all the same.
pub(super) async fn claim(
    ledger: &RedisLedger,
    kind: ErrandKind,
    now: Timestamp,
    limit: usize,
    lease: Duration,
) -> Result<Vec<Leased>, LedgerError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    for _ in 0..ROUNDS {
        let due = peek(ledger, kind, now, limit).await?;
        if due.is_empty() {
            break;
        }
        let taken = take(ledger, kind, now, lease, due).await?;
        if !taken.is_empty() {
            return Ok(taken);
        }
    }
    Ok(Vec::new())
}

/// The moment from which it can be claimed, and whose errand it is.
type Due = (Timestamp, PaymentId);

async fn peek(
    ledger: &RedisLedger,
    kind: ErrandKind,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Due>, LedgerError> {
    let clock = ledger.clock.argument(now);
    let calls: Vec<_> = Partition::all()
        .map(|partition| {
            let call = PEEK.call().key(agenda(partition, kind));
            (partition, call.arg(&clock).arg(limit))
        })
        .collect();
    let (mut due, mut failure) = (Vec::new(), None);
    for reply in ledger.redis.run_all(&calls).await {
        match reply {
            Ok(entries) => {
                for (id, score) in replies::read::<Vec<(String, String)>>(entries)? {
                    due.push((replies::moment(&score)?, parse_id(&id)?));
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if due.is_empty() => Err(error.into()),
        _ => {
            due.sort_unstable();
            due.truncate(limit);
            Ok(due)
        }
    }
}

/// Its rank among what is wanted, whose errand it is, and the token that its lease will have.
type Wanted = (usize, PaymentId, u64);

async fn take(
    ledger: &RedisLedger,
    kind: ErrandKind,
    now: Timestamp,
    lease: Duration,
    due: Vec<Due>,
) -> Result<Vec<Leased>, LedgerError> {
    let mut of_partition: BTreeMap<Partition, Vec<Wanted>> = BTreeMap::new();
    for (rank, (_, id)) in due.into_iter().enumerate() {
        let wanted = of_partition.entry(Partition::of(id.as_str())).or_default();
        // Random, so that no lease of a check that is long forgotten matches one of today.
        wanted.push((rank, id, rand::random()));
    }
    let calls: Vec<_> = of_partition
        .iter()
        .map(|(partition, wanted)| {
            let call = claiming(ledger, kind, now, lease, *partition, wanted);
            (*partition, call)
        })
        .collect();
    let (mut taken, mut failure) = (Vec::new(), None);
    let replies = ledger.redis.run_all(&calls).await;
    for (wanted, reply) in of_partition.into_values().zip(replies) {
        match reply {
            Ok(attempts) => {
                let attempts: Vec<Option<u32>> = replies::read(attempts)?;
                for ((rank, payment_id, token), attempts) in wanted.into_iter().zip(attempts) {
                    let leased = attempts.map(|attempts| Leased {
                        kind,
                        payment_id,
                        attempts,
                        token,
                    });
                    taken.extend(leased.map(|leased| (rank, leased)));
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if taken.is_empty() => Err(error.into()),
        _ => {
            taken.sort_unstable_by_key(|(rank, _)| *rank);
            Ok(taken.into_iter().map(|(_, leased)| leased).collect())
        }
    }
}

/// Takes what is wanted of one partition, as far as nobody else has.
pub(super) fn claiming(
    ledger: &RedisLedger,
    kind: ErrandKind,
    now: Timestamp,
    lease: Duration,
    partition: Partition,
    wanted: &[Wanted],
) -> Call {
    let call = CLAIM
        .call()
        .key(agenda(partition, kind))
        .arg(ledger.clock.argument(now))
        .arg(kind.as_str())
        .arg(ms(lease));
    wanted.iter().fold(call, |call, (_, id, token)| {
        call.key(partition.key("payment", id.as_str()))
            .arg(id.as_str())
            .arg(*token)
    })
}

pub(super) async fn next_due(
    ledger: &RedisLedger,
    kind: ErrandKind,
) -> Result<Option<Timestamp>, LedgerError> {
    let calls: Vec<_> = Partition::all()
        .map(|partition| (partition, NEXT_DUE.call().key(agenda(partition, kind))))
        .collect();
    let (mut earliest, mut failure) = (None, None);
    for reply in ledger.redis.run_all(&calls).await {
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

pub(super) async fn settle(
    ledger: &RedisLedger,
    leased: &Leased,
    settlement: &Settlement,
    attempt: Option<&Attempt>,
) -> Result<bool, LedgerError> {
    let tried = leased.attempts.saturating_add(1);
    let (ending, due_at, attempts) = match settlement {
        Settlement::Done => ("done", None, tried),
        Settlement::Dead => ("dead", None, tried),
        Settlement::Again { due_at } => ("open", Some(due_at), tried),
        Settlement::Untried { due_at } => ("open", Some(due_at), leased.attempts),
    };
    let (partition, call) = payments::writing(ledger, &SETTLE, &leased.payment_id);
    let call = call
        .key(agenda(partition, leased.kind))
        .arg(leased.payment_id.as_str())
        .arg(leased.kind.as_str())
        .arg(leased.token)
        .arg(ending)
        .arg(due_at.map_or(String::new(), |at| at.unix_ms().to_string()))
        .arg(attempts)
        .arg(attempt.map_or(String::new(), |attempt| {
            timeline::attempted(leased, attempt)
        }));
    replies::read(ledger.redis.run(partition, &call).await?)
}

fn agenda(partition: Partition, kind: ErrandKind) -> String {
    partition.key("agenda", kind.as_str())
}

fn parse_id(text: &str) -> Result<PaymentId, LedgerError> {
    PaymentId::parse(text).map_err(|_| replies::damaged("payment id"))
}
