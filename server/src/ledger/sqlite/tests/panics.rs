//! A panic in one of the ledger's threads is not survived, and not kept quiet.

use futures_util::FutureExt;

use super::*;

impl SqliteLedger {
    /// An operation with a mistake in it.
    pub(crate) async fn panic_in_the_writer(&self) {
        let never: Result<(), _> = self.write(|_| panic!("on purpose")).await;
        assert!(
            matches!(never, Err(LedgerError::Unavailable(_))),
            "{never:?}"
        );
    }
}

#[tokio::test]
async fn a_panic_in_the_writer_is_reported() {
    let ledger = open(&Location::Memory, &Limits::default());
    let failed = ledger.failed();
    tokio::pin!(failed);
    assert_eq!((&mut failed).now_or_never(), None);
    ledger.panic_in_the_writer().await;
    assert_eq!(failed.await, "the thread ledger-writer panicked");
    let ready = ledger.ready().await;
    assert!(
        matches!(ready, Err(LedgerError::Unavailable(_))),
        "{ready:?}"
    );
    // Whoever asks later hears it too.
    assert_eq!(ledger.failed().await, "the thread ledger-writer panicked");
}

#[tokio::test]
async fn a_panic_in_a_reader_is_reported() {
    let directory = tempfile::tempdir().expect("directory");
    let location = Location::File(directory.path().join("chasqui.db"));
    let ledger = open(&location, &Limits::default());
    let never: Result<(), _> = ledger.look(|_| panic!("on purpose")).await;
    assert!(
        matches!(never, Err(LedgerError::Unavailable(_))),
        "{never:?}"
    );
    assert_eq!(ledger.failed().await, "the thread ledger-reader panicked");
}

#[tokio::test]
async fn closing_is_no_failure() {
    let ledger = open(&Location::Memory, &Limits::default());
    let failed = ledger.failed();
    drop(ledger);
    assert_eq!(failed.now_or_never(), None);
}
