//! On the real store: what is executed, what is stored, and the response to the next arrival.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chasqui_khipu::KhipuError;
use chasqui_khipu::wire::FieldError;
use chasqui_payment::{AccountName, Timestamp};
use chasqui_store::{Store, StoreError};
use chasqui_store_sqlite::{DatabaseLocation, SqliteLimits, SqliteStore};
use tokio::sync::oneshot;
use tokio::time::timeout;

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
        Ok(text) => stored(200, text),
        Err(_) => stored(400, "no"),
    }
}

fn stored(status: u16, text: &'static str) -> StoredResponse {
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

/// The response to the second arrival, after the first ended like this.
async fn repeat_after(first: Done) -> Result<IdempotentResult<&'static str>, IdempotencyError> {
    let store = store();
    let _ = run_idempotent(Arc::clone(&store), request("k"), ready(first), render).await;
    run_idempotent(store, request("k"), ready(Ok("second")), render).await
}

#[tokio::test]
async fn a_repeat_gets_the_first_response_and_executes_nothing() {
    let (store, count) = (store(), Arc::new(AtomicUsize::new(0)));
    let mut response = Vec::new();
    for _ in 0..3 {
        let count = Arc::clone(&count);
        let work = async move {
            count.fetch_add(1, Ordering::SeqCst);
            Ok("made")
        };
        let done = run_idempotent(Arc::clone(&store), request("k"), work, render).await;
        response.push(done.expect("done"));
    }
    let again = || IdempotentResult::Replayed(stored(200, "made"));
    assert_eq!(
        response,
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
    let response = run_idempotent(store, other, pending(), render).await;
    assert!(
        matches!(response, Err(IdempotencyError::KeyReused)),
        "{response:?}"
    );
}

#[tokio::test]
async fn a_merchant_who_hangs_up_gets_the_response_to_a_repeat() {
    let store = store();
    let (started, start) = oneshot::channel();
    let (proceed, proceeds) = oneshot::channel();
    let work = async move {
        let _ = started.send(());
        let _ = proceeds.await;
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
    proceed.send(()).expect("it goes on");
    let comes_back = async {
        loop {
            match run_idempotent(store.clone(), request("k"), pending(), render).await {
                Err(IdempotencyError::InProgress) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let response = timeout(DEADLINE, comes_back).await.expect("in time");
    assert_eq!(
        response.expect("answered"),
        IdempotentResult::Replayed(stored(200, "made"))
    );
}

#[tokio::test]
async fn a_refusal_by_khipu_is_stored() {
    for status in [400, 404, 409, 422] {
        let response = repeat_after(Err(refused(status))).await;
        let response = response.expect("answered");
        assert_eq!(
            response,
            IdempotentResult::Replayed(stored(400, "no")),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_passing_failure_without_effect_releases_the_key() {
    let unreachable = PaymentsError::Khipu(KhipuError::Unreachable(String::new()));
    let store_away = PaymentsError::Store(StoreError::Unavailable(String::new()));
    let fields = PaymentsError::Fields(vec![FieldError {
        field: "amount",
        message: String::new(),
    }]);
    let credentials = PaymentsError::Khipu(KhipuError::CredentialsRefused {
        status: 401,
        message: String::new(),
    });
    let ours = [unreachable, store_away, fields, credentials];
    let khipus = [403, 408, 425, 429].map(refused);
    for error in ours.into_iter().chain(khipus) {
        let text = format!("{error:?}");
        let response = repeat_after(Err(error)).await.expect("done");
        assert_eq!(
            response,
            IdempotentResult::Executed("second"),
            "after {text}"
        );
    }
}

#[tokio::test]
async fn work_that_may_have_had_an_effect_is_not_executed_again() {
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
        let response = repeat_after(Err(error)).await;
        assert!(
            matches!(response, Err(IdempotencyError::OutcomeUnknown)),
            "after {text}"
        );
    }
}

#[tokio::test]
async fn work_that_panics_may_have_had_an_effect() {
    let store = store();
    let work = async { panic!("in the middle") };
    let response = run_idempotent(Arc::clone(&store), request("k"), work, render).await;
    assert!(
        matches!(
            response,
            Err(IdempotencyError::Payments(PaymentsError::Interrupted(_)))
        ),
        "{response:?}"
    );
    let response = run_idempotent(store, request("k"), pending(), render).await;
    assert!(
        matches!(response, Err(IdempotencyError::OutcomeUnknown)),
        "{response:?}"
    );
}

#[tokio::test]
async fn a_key_that_was_begun_although_the_store_timed_out_is_released() {
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
    let response = run_idempotent(store.clone(), request("k"), pending(), render).await;
    assert!(
        matches!(
            response,
            Err(IdempotencyError::Payments(PaymentsError::Store(_)))
        ),
        "{response:?}"
    );
    // The begin and its release are still in the store's queue and now run.
    shell.execute_batch("ROLLBACK").expect("unlock");
    let written = async { while store.health_check().await.is_err() {} };
    timeout(DEADLINE, written).await.expect("in time");
    let begun = store.begin(&request("k")).await.expect("begin");
    assert_eq!(begun, BeginOutcome::Started);
}
