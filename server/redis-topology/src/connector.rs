//! Connections to servers: credentials, TLS and socket options.

use std::time::Duration;

use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    TlsCertificates,
};

use super::error::CallError;
use super::settings::{Credentials, NodeAddress, RedisSettings};

/// How long a connection may take until its handshake is complete.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// TCP probes a connection that is idle this long.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);

/// Unacknowledged bytes end a connection after this long. A frozen server still acknowledges; it is detected by replies that
/// do not come.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// The bounds of the pause before the next attempt to connect.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// The pause before the next attempt to connect. Full jitter: random below a bound that doubles with each attempt, so that
/// clients that lost the same server at the same moment do not come back together.
pub fn backoff(attempts: u32) -> Duration {
    let bound = SHORTEST_BACKOFF.saturating_mul(2u32.saturating_pow(attempts.min(16)));
    bound.min(LONGEST_BACKOFF).mul_f64(rand::random())
}

/// Makes clients for the servers of one installation.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tls: bool,
    ca: Option<Vec<u8>>,
    credentials: Option<Credentials>,
    database: u32,
}

impl Connector {
    /// For the servers that hold data.
    pub(super) fn for_nodes(settings: &RedisSettings) -> Result<Self, CallError> {
        Ok(Self {
            tls: settings.tls,
            ca: read_ca(settings)?,
            credentials: settings.credentials.clone(),
            database: settings.database,
        })
    }

    /// For the sentinels, which have credentials of their own and no databases.
    pub(super) fn for_sentinels(settings: &RedisSettings) -> Result<Self, CallError> {
        Ok(Self {
            credentials: settings.sentinel_credentials.clone(),
            database: 0,
            ..Self::for_nodes(settings)?
        })
    }

    pub(super) fn client(&self, address: &NodeAddress) -> Result<Client, CallError> {
        let host = address.host.clone();
        let addr = match self.tls {
            true => ConnectionAddr::TcpTls {
                host,
                port: address.port,
                insecure: false,
                tls_params: None,
            },
            false => ConnectionAddr::Tcp(host, address.port),
        };
        let mut login = RedisConnectionInfo::default()
            .set_db(i64::from(self.database))
            .set_lib_name("chasqui", env!("CARGO_PKG_VERSION"));
        if let Some(Credentials { username, password }) = &self.credentials {
            login = login.set_password(password);
            if let Some(username) = username {
                login = login.set_username(username);
            }
        }
        let socket = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(socket2::TcpKeepalive::new().with_time(KEEPALIVE))
            .set_user_timeout(UNACKNOWLEDGED);
        let info = addr
            .into_connection_info()
            .map_err(|error| CallError(error.to_string()))?
            .set_redis_settings(login)
            .set_tcp_settings(socket);
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: self.ca.clone(),
        };
        match self.tls {
            true => Client::build_with_tls(info, certificates),
            false => Client::open(info),
        }
        .map_err(|error| CallError(error.to_string()))
    }
}

/// A reply may take `response`; then its connection is dropped.
pub(super) fn connection_config(response: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(response))
        .set_pipeline_buffer_size(1024)
}

pub(super) fn read_ca(settings: &RedisSettings) -> Result<Option<Vec<u8>>, CallError> {
    let Some(path) = &settings.ca_file else {
        return Ok(None);
    };
    std::fs::read(path).map(Some).map_err(|error| {
        let path = path.display();
        CallError(format!("the CA file {path} cannot be read: {error}"))
    })
}
