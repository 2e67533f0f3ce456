//! On the real store: what is done, what is kept of it, and what the next arrival hears.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use chasqui_khipu::KhipuError;
use chasqui_khipu::wire::FieldError;
use chasqui_payment::{AccountName, Timestamp};
use chasqui_store::Store;
use chasqui_store_sqlite::{DatabaseLocation, SqliteLimits, SqliteStore};

use super::*;

type Done = Result<&'static str, PaymentsError>;

const DEADLINE: Duration = Duration::from_secs(20);

fn store() -> Arc<dyn IdempotencyStore> {
    Arc::new(SqliteStore::open(&DatabaseLocation::Memory, &SqliteLimits::default()).expect("open"))
}

fn request(key: &str) -> IdempotentRequest {
    IdempotentRequest {
        key: IdempotencyKey {
            account: AccountName::parse("shop").expect("account"),
            route: "POST /v3/payments",
            key: key.to_owned(),
        },
        fingerprint: [7; 32],
        arrival: rand::random(),
        at: Timestamp::from_unix_ms(0),
    }
}

fn render(done: &Done) -> StoredResponse {
    match done {
        Ok(text) => kept(200, text),
        Err(_) => kept(400, "no"),
    }
}

fn kept(status: u16, text: &'static str) -> StoredResponse {
    StoredResponse {
        status,
        body: Bytes::from_static(text.as_bytes()),
    }
}

fn refused(status: u16) -> PaymentsError {
    PaymentsError::Khipu(KhipuError::Refused {
        status,
        message: String::new(),
        body: Bytes::new(),
        retry_after: None,
    })
}

/// What the second arrival hears after the first came to this; `First` if it may try again.
async fn repeat_after(first: Done) -> Result<IdempotentResult<&'static str>, IdempotencyError> {
    let store = store();
    let _ = run_idempotent(Arc::clone(&store), request("k"), ready(first), render).await;
    run_idempotent(store, request("k"), ready(Ok("second")), render).await
}

#[tokio::test]
async fn the_second_is_given_the_firsts_answer_and_nothing_is_done_again() {
    let (store, count) = (store(), Arc::new(AtomicUsize::new(0)));
    let mut heard = Vec::new();
    for _ in 0..3 {
        let count = Arc::clone(&count);
        let work = async move {
            count.fetch_add(1, Ordering::SeqCst);
            Ok("made")
        };
        let done = run_idempotent(Arc::clone(&store), request("k"), work, render).await;
        heard.push(done.expect("done"));
    }
    let again = || IdempotentResult::Replayed(kept(200, "made"));
    assert_eq!(
        heard,
        [IdempotentResult::Executed("made"), again(), again()]
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn another_body_is_refused() {
    let store = store();
    let first = run_idempotent(Arc::clone(&store), request("k"), ready(Ok("made")), render);
    first.await.expect("first");
    let other = IdempotentRequest {
        fingerprint: [8; 32],
        ..request("k")
    };
    let heard = run_idempotent(store, other, pending(), render).await;
    assert!(
        matches!(heard, Err(IdempotencyError::KeyReused)),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_merchant_who_hangs_up_finds_the_answer_when_coming_back() {
    let store = store();
    let (started, start) = oneshot::channel();
    let (go, gone) = oneshot::channel();
    let work = async move {
        let _ = started.send(());
        let _ = gone.await;
        Ok("made")
    };
    let caller = tokio::spawn(run_idempotent(
        Arc::clone(&store),
        request("k"),
        work,
        render,
    ));
    start.await.expect("it starts");
    caller.abort();
    assert!(caller.await.is_err_and(|error| error.is_cancelled()));

    let meanwhile = run_idempotent(store.clone(), request("k"), pending(), render).await;
    assert!(
        matches!(meanwhile, Err(IdempotencyError::InProgress)),
        "{meanwhile:?}"
    );
    go.send(()).expect("it goes on");
    let comes_back = async {
        loop {
            match run_idempotent(store.clone(), request("k"), pending(), render).await {
                Err(IdempotencyError::InProgress) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let heard = timeout(DEADLINE, comes_back).await.expect("in time");
    assert_eq!(
        heard.expect("answered"),
        IdempotentResult::Replayed(kept(200, "made"))
    );
}

#[tokio::test]
async fn khipus_no_is_an_answer_and_is_kept() {
    for status in [400, 404, 409, 422] {
        let heard = repeat_after(Err(refused(status))).await;
        let heard = heard.expect("answered");
        assert_eq!(
            heard,
            IdempotentResult::Replayed(kept(400, "no")),
            "{status}"
        );
    }
}

#[tokio::test]
async fn what_did_nothing_for_a_passing_reason_lets_the_key_go() {
    let unreachable = PaymentsError::Khipu(KhipuError::Unreachable(String::new()));
    let store_away = PaymentsError::Store(StoreError::Unavailable(String::new()));
    let fields = PaymentsError::Fields(vec![FieldError {
        field: "amount",
        message: String::new(),
    }]);
    let ours = [unreachable, store_away, fields];
    let khipus = [401, 403, 408, 425, 429].map(refused);
    for error in ours.into_iter().chain(khipus) {
        let text = format!("{error:?}");
        let heard = repeat_after(Err(error)).await.expect("done");
        assert_eq!(heard, IdempotentResult::Executed("second"), "after {text}");
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let failed = KhipuError::Failed {
        status: 500,
        retry_after: None,
    };
    for error in [
        PaymentsError::Khipu(KhipuError::TimedOut),
        PaymentsError::Khipu(failed),
        PaymentsError::Khipu(KhipuError::Malformed(String::new())),
        PaymentsError::Interrupted(String::new()),
    ] {
        let text = format!("{error:?}");
        let heard = repeat_after(Err(error)).await;
        assert!(
            matches!(heard, Err(IdempotencyError::OutcomeUnknown)),
            "after {text}"
        );
    }
}

#[tokio::test]
async fn work_that_panics_may_have_been_done() {
    let store = store();
    let work = async { panic!("in the middle") };
    let heard = run_idempotent(Arc::clone(&store), request("k"), work, render).await;
    assert!(
        matches!(
            heard,
            Err(IdempotencyError::Payments(PaymentsError::Interrupted(_)))
        ),
        "{heard:?}"
    );
    let heard = run_idempotent(store, request("k"), pending(), render).await;
    assert!(
        matches!(heard, Err(IdempotencyError::OutcomeUnknown)),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_key_that_was_begun_although_the_store_gave_no_answer_is_let_go() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("chasqui.db");
    let limits = SqliteLimits {
        answer_wait: Duration::from_millis(100),
        ..SqliteLimits::default()
    };
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&DatabaseLocation::File(path.clone()), &limits).expect("open"));
    let shell = rusqlite::Connection::open(&path).expect("shell");
    shell.execute_batch("BEGIN IMMEDIATE").expect("lock");
    let heard = run_idempotent(store.clone(), request("k"), pending(), render).await;
    assert!(
        matches!(
            heard,
            Err(IdempotencyError::Payments(PaymentsError::Store(_)))
        ),
        "{heard:?}"
    );
    // Both the begin and what takes it back are in the queue still, and now happen.
    shell.execute_batch("ROLLBACK").expect("unlock");
    let written = async { while store.health_check().await.is_err() {} };
    timeout(DEADLINE, written).await.expect("in time");
    let begun = store.begin(&request("k")).await.expect("begin");
    assert_eq!(begun, BeginOutcome::Started);
}
