//! What the gateway's tests share: a gateway over a real store, at a Khipu that cannot be reached.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Gateway, JobWakeups, Parts};
use crate::account::Account;
use crate::clock;
use crate::config::Config;
use crate::khipu;
use crate::payment::{Kind, NewJob, Observation, PaymentId, Source, StatusUpdate, Version};
use crate::push::{Hub, Intervals};
use crate::relay::{LocalRelay, RelayListener};
use crate::store::Store;
use crate::store::sqlite::{Limits, Location, SqliteStore};

/// No test waits longer than this for what it expects.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

const NO_KHIPU: &str = "http://127.0.0.1:9";

/// Nobody listens on port 9, and nobody is asked unless a loop runs.
const CONFIGURATION: &str = r#"
[khipu]
base_url = "http://127.0.0.1:9"
[[accounts]]
name = "shop"
receiver_id = 990939
khipu_api_key = "not-a-real-key"
khipu_secrets = ["not-a-real-secret"]
"#;

pub(crate) struct Stage {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) store: Arc<dyn Store>,
    file: Option<(TempDir, PathBuf)>,
}

impl Stage {
    pub(crate) fn in_memory() -> Self {
        Self::over(&Location::Memory, None, NO_KHIPU)
    }

    /// In memory, before a Khipu of the test's own.
    pub(crate) fn before(khipu_url: &str) -> Self {
        Self::over(&Location::Memory, None, khipu_url)
    }

    /// A store that can be broken.
    pub(crate) fn in_a_file() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("chasqui.db");
        Self::over(
            &Location::File(path.clone()),
            Some((directory, path)),
            NO_KHIPU,
        )
    }

    fn over(location: &Location, file: Option<(TempDir, PathBuf)>, khipu_url: &str) -> Self {
        let store = SqliteStore::open(location, &Limits::default()).expect("open");
        let store: Arc<dyn Store> = Arc::new(store);
        let config = Config::from_toml(&CONFIGURATION.replace(NO_KHIPU, khipu_url)).expect("valid");
        let hub = Arc::new(Hub::new(
            config.limits.watchers_per_payment,
            Intervals {
                heartbeat: config.limits.heartbeat_interval,
                ping: config.limits.ping_interval,
                lifetime: config.limits.connection_lifetime,
            },
        ));
        let relay = LocalRelay::new(Arc::clone(&hub) as Arc<dyn RelayListener>);
        let khipu = khipu::Client::new(&config.khipu, config.limits.khipu_answer_bytes);
        let parts = Parts {
            store: Arc::clone(&store),
            relay: Arc::new(relay),
            hub: Arc::clone(&hub),
            khipu: khipu.expect("a client"),
            wake: JobWakeups::default(),
        };
        Self {
            gateway: Arc::new(Gateway::new(&config, parts)),
            hub,
            store,
            file,
        }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        let mut accounts = self.gateway.accounts.iter();
        accounts.next().expect("an account")
    }

    /// Behind the gateway's back, as another instance would.
    pub(crate) async fn commit(&self, id: &PaymentId, kind: Kind) {
        self.commit_with(id, kind, Vec::new()).await;
    }

    pub(crate) async fn commit_with(&self, id: &PaymentId, kind: Kind, jobs: Vec<NewJob>) {
        let (number, replaces) = match kind {
            Kind::Confirmed => (1000, None),
            Kind::Reversed => (1001, None),
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

    /// Every look at a payment fails until it is mended.
    pub(crate) fn break_the_store(&self) {
        self.shell("ALTER TABLE payment RENAME TO gone");
    }

    pub(crate) fn mend_the_store(&self) {
        self.shell("ALTER TABLE gone RENAME TO payment");
    }

    fn shell(&self, statement: &str) {
        let (_, path) = self.file.as_ref().expect("a file");
        let shell = rusqlite::Connection::open(path).expect("shell");
        // The name alone: what refers to the table goes on meaning it.
        shell
            .execute_batch(&format!("PRAGMA legacy_alter_table = ON; {statement}"))
            .expect("altered");
    }
}

pub(crate) fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("id")
}
