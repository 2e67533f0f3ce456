//! More events than calls to Khipu are allowed: the most urgent calls are made.
//!
//! The schedule and the rate limiter are the real ones, in simulated time; Khipu, the job queue and its worker are simulated.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chasqui_payment::{JobPriority, PaymentId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::poll_schedule::{PollPace, PollResult, PollSchedule};
use crate::tests::fixture::rate_limiter;

const PER_SECOND: u64 = 50;
const SECONDS: u64 = 60;

/// From a payer's return to Khipu's notification, to a check that does not depend on it, and to the cross-check after it.
const NOTIFIED_AFTER: Duration = Duration::from_secs(3);
const CHECKED_AFTER: Duration = Duration::from_secs(30);
const CROSS_CHECKED_AFTER: Duration = Duration::from_secs(2);
const CROSS_CHECK_TERM: Duration = Duration::from_secs(600);

/// The longest time until a lost confirmation is found: its check, and the wait for a slot.
const BOUND: Duration = Duration::from_secs(45);

#[derive(Default)]
struct World {
    /// The jobs, by priority and due time.
    checks: BTreeSet<(JobPriority, Instant, PaymentId)>,
    returned: HashMap<PaymentId, Instant>,
    /// Payments with an open page.
    watched: HashSet<PaymentId>,
    /// Confirmed payments whose notification was lost.
    lost: HashSet<PaymentId>,
    found_after: Vec<Duration>,
    cross_checked: usize,
    dropped: usize,
    calls: usize,
}

type Shared = Arc<Mutex<World>>;

fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("id")
}

impl World {
    fn refresh(&mut self, id: &PaymentId) {
        self.calls += 1;
        if self.lost.remove(id) {
            self.found_after.push(self.returned[id].elapsed());
        }
    }
}

async fn payers(world: Shared, schedule: Arc<PollSchedule>) {
    for n in 0..PER_SECOND * SECONDS {
        return_payer(n, &world, &schedule);
        sleep(Duration::from_millis(1000 / PER_SECOND)).await;
    }
}

/// One notification in ten seconds is lost, and its payer has closed the page; one payer a second never pays.
fn return_payer(n: u64, world: &Shared, schedule: &PollSchedule) {
    let (id, now) = (id(&format!("p{n}")), Instant::now());
    let (is_lost, is_unpaid) = (n % (10 * PER_SECOND) == 7, n % PER_SECOND == 23);
    let mut at = world.lock().expect("world");
    at.returned.insert(id.clone(), now);
    if is_lost || is_unpaid {
        let due = now + CHECKED_AFTER;
        at.checks.insert((JobPriority::Silent, due, id.clone()));
    }
    if is_lost {
        at.lost.insert(id);
    } else if !is_unpaid {
        at.watched.insert(id.clone());
        schedule.watch(&id);
        let world = Arc::clone(world);
        tokio::spawn(async move {
            sleep(NOTIFIED_AFTER).await;
            let mut at = world.lock().expect("world");
            at.watched.remove(&id);
            let due = Instant::now() + CROSS_CHECKED_AFTER;
            at.checks.insert((JobPriority::CrossCheck, due, id));
        });
    }
}

async fn poller(world: Shared, schedule: Arc<PollSchedule>) {
    loop {
        let watched = |id: &PaymentId| world.lock().expect("world").watched.contains(id);
        let (poll, slot) = schedule.next(watched).await;
        let (world, schedule) = (Arc::clone(&world), Arc::clone(&schedule));
        tokio::spawn(async move {
            slot.spend();
            sleep(Duration::from_millis(50)).await;
            world.lock().expect("world").refresh(&poll.id);
            schedule.record(&poll, PollResult::Answered, PollPace::Normal);
        });
    }
}

async fn checks(world: Shared, schedule: Arc<PollSchedule>) {
    loop {
        for (priority, id) in lease_due(&world) {
            tokio::spawn(check(
                Arc::clone(&world),
                Arc::clone(&schedule),
                priority,
                id,
            ));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn lease_due(world: &Shared) -> Vec<(JobPriority, PaymentId)> {
    let now = Instant::now();
    let mut at = world.lock().expect("world");
    let due = at.checks.iter().filter(|(_, due, _)| *due <= now);
    let due: Vec<_> = due.take(32).cloned().collect();
    for check in &due {
        at.checks.remove(check);
    }
    due.into_iter()
        .map(|(priority, _, id)| (priority, id))
        .collect()
}

async fn check(world: Shared, schedule: Arc<PollSchedule>, priority: JobPriority, id: PaymentId) {
    let too_late = {
        let returned = world.lock().expect("world").returned[&id];
        returned + NOTIFIED_AFTER + CROSS_CHECKED_AFTER + CROSS_CHECK_TERM
    };
    let is_cross_check = priority == JobPriority::CrossCheck;
    match schedule.rate_limiter.try_acquire(priority.into()).await {
        Ok(slot) => {
            slot.spend();
            let mut at = world.lock().expect("world");
            at.refresh(&id);
            at.cross_checked += usize::from(is_cross_check);
        }
        Err(full) => {
            let due = Instant::now() + full.retry_after;
            let mut at = world.lock().expect("world");
            match is_cross_check && due > too_late {
                true => at.dropped += 1,
                false => assert!(at.checks.insert((priority, due, id))),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_fifty_payments_a_second_a_lost_confirmation_is_found_and_cross_checks_are_dropped() {
    let world = Shared::default();
    let schedule = Arc::new(PollSchedule::new(rate_limiter(10), 100_000));
    let began = Instant::now();
    // Pages that stay open use up the rate, also when the rush is over.
    for n in 0..400 {
        let id = id(&format!("open{n}"));
        world.lock().expect("world").watched.insert(id.clone());
        schedule.watch(&id);
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(poller(Arc::clone(&world), Arc::clone(&schedule)));
    tasks.spawn(checks(Arc::clone(&world), Arc::clone(&schedule)));
    tasks.spawn(payers(Arc::clone(&world), Arc::clone(&schedule)));
    let lost = usize::try_from(SECONDS / 10).expect("small");

    sleep(Duration::from_secs(SECONDS) + BOUND).await;
    {
        let at = world.lock().expect("world");
        assert_eq!(at.found_after.len(), lost, "{:?}", at.found_after);
        let longest = at.found_after.iter().max().expect("found");
        assert!(*longest <= BOUND, "{:?}", at.found_after);
    }

    // Until the last cross-check was made or dropped.
    sleep_until(began + Duration::from_secs(SECONDS) + CROSS_CHECK_TERM + BOUND).await;
    let at = world.lock().expect("world");
    let confirmed = usize::try_from(SECONDS * (PER_SECOND - 1)).expect("small") - lost;
    assert_eq!(at.cross_checked + at.dropped, confirmed);
    assert!(at.dropped > confirmed / 2, "{} dropped", at.dropped);
    assert!(at.checks.is_empty(), "{} checks wait", at.checks.len());
    let most = began.elapsed().as_secs() * 10 + 10;
    let calls = u64::try_from(at.calls).expect("small");
    assert!(calls <= most, "{calls} calls, {most} allowed");
}
