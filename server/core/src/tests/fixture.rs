//! Payments on a real store, with a Khipu that cannot be reached.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chasqui_khipu::KhipuClient;
use chasqui_payment::{
    AccountName, NewJob, Observation, PaymentId, Secret, Source, StatusKind, StatusUpdate,
    Timestamp, Version,
};
use chasqui_store::{CallPacer, RelayListener, Store, StoreError};
use chasqui_store_sqlite::{DatabaseLocation, LocalRelay, SqliteLimits, SqliteStore};
use tempfile::TempDir;

use crate::account::{Account, Accounts};
use crate::push::{Hub, Intervals};
use crate::rate_limiter::RateLimiter;
use crate::{Dependencies, JobWakeups, Payments, Settings, clock};

/// No test waits longer than this for what it expects.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 9, and no call is made unless a loop runs.
const NO_KHIPU: &str = "http://127.0.0.1:9";

fn settings() -> Settings {
    let account = Account {
        name: AccountName::parse("shop").expect("name"),
        receiver_id: 990_939,
        khipu_api_key: Secret::new("not-a-real-key"),
        khipu_secrets: vec![Secret::new("not-a-real-secret")],
        api_keys: Vec::new(),
        allowed_origins: Vec::new(),
        notify_url: None,
        events_url: None,
        webhook_secrets: Vec::new(),
        return_hop: true,
        answer_extras: false,
        allow_http_destinations: false,
        allow_private_destinations: Vec::new(),
    };
    Settings {
        accounts: Accounts::new([account]),
        public_url: "http://127.0.0.1:8080".to_owned(),
        is_local: true,
        notification_tolerance: Duration::from_secs(600),
        polls_per_second: 10,
        polls_in_flight: 32,
        watchers: 100_000,
    }
}

pub(crate) struct Stage {
    pub(crate) payments: Arc<Payments>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) store: Arc<dyn Store>,
    file: Option<(TempDir, PathBuf)>,
}

impl Stage {
    pub(crate) fn in_memory() -> Self {
        Self::over(&DatabaseLocation::Memory, None, NO_KHIPU)
    }

    /// In memory, with the test's own Khipu.
    pub(crate) fn before(khipu_url: &str) -> Self {
        Self::over(&DatabaseLocation::Memory, None, khipu_url)
    }

    /// A store that can be broken.
    pub(crate) fn in_a_file() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("chasqui.db");
        Self::over(
            &DatabaseLocation::File(path.clone()),
            Some((directory, path)),
            NO_KHIPU,
        )
    }

    fn over(
        location: &DatabaseLocation,
        file: Option<(TempDir, PathBuf)>,
        khipu_url: &str,
    ) -> Self {
        let store = SqliteStore::open(location, &SqliteLimits::default()).expect("open");
        let store: Arc<dyn Store> = Arc::new(store);
        let intervals = Intervals {
            heartbeat: Duration::from_secs(30),
            ping: Duration::from_secs(120),
            lifetime: Duration::from_secs(3600),
        };
        let hub = Arc::new(Hub::new(32, intervals));
        let relay = LocalRelay::new(Arc::clone(&hub) as Arc<dyn RelayListener>);
        let khipu = KhipuClient::new(khipu_url, Duration::from_secs(15), 2 * 1024 * 1024);
        let dependencies = Dependencies {
            store: Arc::clone(&store),
            relay: Arc::new(relay),
            hub: Arc::clone(&hub),
            khipu: khipu.expect("a client"),
            wake: JobWakeups::default(),
        };
        Self {
            payments: Arc::new(Payments::new(settings(), dependencies)),
            hub,
            store,
            file,
        }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        let mut accounts = self.payments.accounts.iter();
        accounts.next().expect("an account")
    }

    /// Past [`Payments`], as another instance would.
    pub(crate) async fn commit(&self, id: &PaymentId, kind: StatusKind) {
        self.commit_with(id, kind, Vec::new()).await;
    }

    pub(crate) async fn commit_with(&self, id: &PaymentId, kind: StatusKind, jobs: Vec<NewJob>) {
        let (number, replaces) = match kind {
            StatusKind::Confirmed => (1000, None),
            StatusKind::Reversed => (1001, None),
            of_a_round => (10 + of_a_round as u16, Some(Version::FIRST)),
        };
        let observation = Observation {
            account: self.account().name.clone(),
            source: Source::Khipu,
            at: clock::now(),
            update: Some(StatusUpdate {
                version: Version::from_number(number).expect("version"),
                replaces,
                late: false,
                reason: None,
            }),
            notification: None,
            jobs,
        };
        let observed = self.store.observe(id, &observation).await;
        observed.expect("committed");
    }

    /// Every read of a payment fails until the store is mended.
    pub(crate) fn break_the_store(&self) {
        self.shell("ALTER TABLE payment RENAME TO gone");
    }

    pub(crate) fn mend_the_store(&self) {
        self.shell("ALTER TABLE gone RENAME TO payment");
    }

    fn shell(&self, statement: &str) {
        let (_, path) = self.file.as_ref().expect("a file");
        let shell = rusqlite::Connection::open(path).expect("shell");
        // Renames the table without its references.
        shell
            .execute_batch(&format!("PRAGMA legacy_alter_table = ON; {statement}"))
            .expect("altered");
    }
}

pub(crate) fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("id")
}

/// Leaves the pace to the instance.
#[derive(Debug)]
struct LocalPace;

#[async_trait]
impl CallPacer for LocalPace {
    async fn reserve_call(
        &self,
        _: &AccountName,
        _: Timestamp,
        _: u32,
    ) -> Result<Duration, StoreError> {
        Ok(Duration::ZERO)
    }

    async fn pause_calls(
        &self,
        _: &AccountName,
        _: Timestamp,
        _: Duration,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(crate) fn rate_limiter(per_second: u32) -> RateLimiter {
    let account = AccountName::parse("shop").expect("name");
    RateLimiter::new(per_second, Arc::new(LocalPace), account)
}
