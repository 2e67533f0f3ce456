use std::sync::Mutex;
use std::sync::atomic::Ordering;

use chasqui_payment::PaymentId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::jobs::tests::fake_store::{FakeStore, Finished};
use crate::jobs::tests::fixture::DEADLINE;
use crate::tests::logs::Logs;

const LIMITS: WorkerLimits = WorkerLimits {
    in_flight: 8,
    batch: 4,
    lease: Duration::from_secs(60),
    drain: Duration::from_secs(2),
};

/// Behaves as the payment's id says.
#[derive(Debug, Default)]
struct Scripted {
    runs: Mutex<Vec<(String, Instant)>>,
}

impl Scripted {
    fn runs_of(&self, id: &str) -> Vec<Instant> {
        let runs = self.runs.lock().expect("runs");
        let of_it = runs.iter().filter(|(ran, _)| ran == id);
        of_it.map(|(_, at)| *at).collect()
    }
}

impl JobHandler for Arc<Scripted> {
    const KIND: JobKind = JobKind::Check;

    fn longest_run(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn run(
        &self,
        job: &mut LeasedJob,
        stop: &CancellationToken,
    ) -> Result<JobEnd, StoreError> {
        let id = job.payment_id.to_string();
        let is_first = self.runs_of(&id).is_empty();
        self.runs
            .lock()
            .expect("runs")
            .push((id.clone(), Instant::now()));
        match id.as_str() {
            "panics" => panic!("a bug, on purpose"),
            "unread" => return Err(StoreError::Unavailable("away".into())),
            "slow" => sleep(Duration::from_secs(1)).await,
            "hangs" => {
                stop.cancelled().await;
                return Ok(JobEnd::put_back(clock::now()));
            }
            "later" if is_first => {
                let due_at = clock::now().plus(Duration::from_secs(1));
                return Ok(JobEnd::put_back(due_at));
            }
            _ => {}
        }
        Ok(JobEnd {
            result: JobResult::Done,
            attempt: None,
        })
    }
}

struct Running {
    store: Arc<FakeStore>,
    handler: Arc<Scripted>,
    ends: mpsc::UnboundedReceiver<Finished>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start() -> Self {
        let (store, ends) = FakeStore::new();
        let (handler, wake) = (Arc::<Scripted>::default(), Arc::new(Notify::new()));
        let queue = Arc::<FakeStore>::clone(&store);
        let worker = JobWorker::new(queue, Arc::clone(&handler), LIMITS, Arc::clone(&wake));
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker.expect("worker").run(stop.clone()));
        Self {
            store,
            handler,
            ends,
            wake,
            stop,
            task,
        }
    }

    fn schedule(&self, id: &str) {
        let id = PaymentId::parse(id).expect("id");
        self.store.schedule(JobKind::Check, id, 0);
        self.wake.notify_one();
    }

    async fn next_end(&mut self) -> (String, JobResult) {
        // Paused time skips the pauses while the store fails.
        let end = timeout(LIMITS.lease, self.ends.recv()).await;
        let (job, result, _) = end.expect("in time").expect("finished");
        (job.payment_id.to_string(), result)
    }

    async fn until_it_runs(&self, id: &str) {
        let runs = async {
            while self.handler.runs_of(id).is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, runs).await.expect("it runs");
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        let stopped = timeout(DEADLINE, &mut self.task).await;
        stopped.expect("stops in time").expect("without a panic");
    }
}

fn done(id: &str) -> (String, JobResult) {
    (id.to_owned(), JobResult::Done)
}

#[tokio::test(start_paused = true)]
async fn an_end_is_recorded_once_the_store_is_back() {
    let mut running = Running::start();
    running.store.finish_failures.store(5, Ordering::SeqCst);
    running.store.finish_silences.store(1, Ordering::SeqCst);
    running.schedule("quick");
    assert_eq!(running.next_end().await, done("quick"));
    assert_eq!(running.handler.runs_of("quick").len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_recorded_is_given_up_when_the_lease_expires() {
    let logs = Logs::default();
    let _guard = logs.capture(tracing::Level::ERROR);
    let mut running = Running::start();
    running
        .store
        .finish_failures
        .store(usize::MAX, Ordering::SeqCst);
    running.schedule("quick");
    sleep(LIMITS.lease).await;
    assert!(logs.text().contains("was not recorded"), "{}", logs.text());
    running.store.finish_failures.store(0, Ordering::SeqCst);
    running.schedule("other");
    assert_eq!(running.next_end().await, done("other"));
    sleep(LIMITS.lease).await;
    assert!(running.ends.is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leases_are_retried_less_and_less_often_until_the_store_is_back() {
    let mut running = Running::start();
    running.store.lease_failures.store(8, Ordering::SeqCst);
    let began = Instant::now();
    running.schedule("quick");
    assert_eq!(running.next_end().await, done("quick"));
    // 0.1 s, 0.2 s … 3.2 s, 5 s, 5 s, each up to half as short.
    let away_for = began.elapsed().as_secs_f64();
    assert!((8.0..18.0).contains(&away_for), "{away_for}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_panics_is_reported_and_stops_no_other() {
    let logs = Logs::default();
    let _guard = logs.capture(tracing::Level::ERROR);
    let mut running = Running::start();
    running.schedule("panics");
    running.schedule("quick");
    assert_eq!(running.next_end().await, done("quick"));
    running.stop().await;
    assert!(logs.text().contains("a job panicked"), "{}", logs.text());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_could_not_be_run_is_left_until_its_lease_expires() {
    let mut running = Running::start();
    running.schedule("unread");
    running.schedule("quick");
    assert_eq!(running.next_end().await, done("quick"));
    running.stop().await;
    assert!(running.ends.is_empty());
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_jobs_may_end_for_a_while_and_the_rest_is_put_back() {
    let mut running = Running::start();
    for id in ["slow", "hangs"] {
        running.schedule(id);
        running.until_it_runs(id).await;
    }
    running.stop().await;
    assert_eq!(running.next_end().await, done("slow"));
    assert!(running.ends.is_empty());
    let next = running.store.next_due(JobKind::Check).await.expect("read");
    assert!(next.expect("put back") <= clock::now());
}

#[tokio::test]
async fn a_job_that_is_put_back_for_a_second_is_found_after_it() {
    let mut running = Running::start();
    running.schedule("later");
    assert_eq!(running.next_end().await, done("later"));
    let runs = running.handler.runs_of("later");
    let waited = runs[1].duration_since(runs[0]);
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    running.stop().await;
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let worker = |limits| {
        let (queue, _) = FakeStore::new();
        JobWorker::new(queue, Arc::<Scripted>::default(), limits, Arc::default())
    };
    let lease = Duration::from_secs(35);
    assert!(matches!(
        worker(WorkerLimits { lease, ..LIMITS }),
        Err(WorkerLimitsError::LeaseTooShort { .. })
    ));
    let lease = lease + Duration::from_millis(1);
    assert!(worker(WorkerLimits { lease, ..LIMITS }).is_ok());
    let nothing = WorkerLimits {
        in_flight: 0,
        ..LIMITS
    };
    assert!(matches!(
        worker(nothing),
        Err(WorkerLimitsError::ZeroInFlight)
    ));
}
