//! One Redis, on a port and in a directory that it keeps over restarts.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, Value};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::deadline::{DEADLINE, eventually};
use crate::options::Options;
use crate::port::HeldPort;
use crate::running::Running;

#[derive(Debug)]
pub struct RedisServer {
    running: Running,
    is_sentinel: bool,
    password: Option<String>,
    port: HeldPort,
    tls_port: Option<HeldPort>,
    /// Where a cluster's nodes talk to each other.
    bus_port: Option<HeldPort>,
    directory: TempDir,
}

impl RedisServer {
    /// Ready when this returns.
    pub async fn start(options: &Options) -> Self {
        let server = Self::launch(options);
        server.ready().await;
        server
    }

    /// The same, with TLS too, on a port of its own ([`RedisServer::tls_url`]).
    pub async fn start_with_tls(options: &Options, certificates: &Certificates) -> Self {
        let tls_port = HeldPort::take();
        let options = options
            .clone()
            .with_tls(tls_port.address.port(), certificates);
        let mut server = Self::launch(&options);
        server.tls_port = Some(tls_port);
        server.ready().await;
        server
    }

    /// One that is not in a cluster yet, but could be. Not waited for.
    pub(crate) fn launch_node(options: &Options) -> Self {
        let bus_port = HeldPort::take();
        let options = options
            .clone()
            .with("cluster-enabled yes")
            .with(&format!("cluster-port {}", bus_port.address.port()));
        let mut server = Self::launch(&options);
        server.bus_port = Some(bus_port);
        server
    }

    /// Not waited for.
    pub(crate) fn launch(options: &Options) -> Self {
        Self::launch_as(false, options.password.clone(), |port| {
            options.to_conf(port)
        })
    }

    /// With these lines beside its port. Not waited for.
    pub(crate) fn launch_sentinel(lines: &str) -> Self {
        Self::launch_as(true, None, |port| {
            format!("port {port}\nbind 127.0.0.1\nprotected-mode no\ndaemonize no\n{lines}\n")
        })
    }

    fn launch_as(
        is_sentinel: bool,
        password: Option<String>,
        conf: impl FnOnce(u16) -> String,
    ) -> Self {
        let port = HeldPort::take();
        let directory = tempfile::tempdir().expect("a directory for the test");
        let path = directory.path();
        fs::write(path.join("redis.conf"), conf(port.address.port()))
            .expect("the configuration is written");
        Self {
            running: Running::start(&mut program(is_sentinel), path),
            is_sentinel,
            password,
            port,
            tls_port: None,
            bus_port: None,
            directory,
        }
    }

    /// `redis://…`, with the password of the user `default` if it has one.
    pub fn url(&self) -> String {
        format!("redis://{}{}", self.credentials(), self.address())
    }

    /// `rediss://…`
    pub fn tls_url(&self) -> String {
        let port = self.tls_port.as_ref().expect("started with TLS");
        format!("rediss://{}{}", self.credentials(), port.address)
    }

    fn credentials(&self) -> String {
        self.password
            .as_ref()
            .map(|password| format!(":{password}@"))
            .unwrap_or_default()
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    pub fn port(&self) -> u16 {
        self.port.address.port()
    }

    pub(crate) fn bus_port(&self) -> u16 {
        let port = self.bus_port.as_ref().expect("a cluster's node");
        port.address.port()
    }

    /// SIGKILL: it flushes nothing.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// SIGTERM, and waits until it has ended.
    pub async fn terminate(&mut self) {
        self.running.terminate();
        self.running.ended().await;
    }

    /// SIGSTOP: connections stay open, without replies.
    pub fn freeze(&self) {
        self.running.freeze();
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.running.thaw();
    }

    /// Again on the same port, with what it had written to its directory; ready when this returns.
    pub async fn restart(&mut self) {
        self.running.kill();
        self.running = Running::start(&mut program(self.is_sentinel), self.directory.path());
        self.ready().await;
    }

    /// Deletes all its data, as after the loss of a disk. Only while it is not running.
    pub fn lose_data(&self) {
        let _ = fs::remove_dir_all(self.directory.path().join("appendonlydir"));
    }

    /// The size of its append-only file, for [`forget_after`](Self::forget_after). Only if it never rewrites the file.
    pub fn written(&self) -> u64 {
        let metadata = fs::metadata(self.append_only_file());
        metadata.expect("an append-only file").len()
    }

    /// Cuts what it wrote after `written`, as if that had never reached the disk. Only while it is not running.
    pub fn forget_after(&self, written: u64) {
        let file = fs::File::options()
            .write(true)
            .open(self.append_only_file());
        let cut = file.and_then(|file| file.set_len(written));
        cut.expect("the append-only file can be cut");
    }

    fn append_only_file(&self) -> PathBuf {
        let directory = self.directory.path().join("appendonlydir");
        directory.join("appendonly.aof.1.incr.aof")
    }

    /// Its log so far, over all restarts.
    pub fn log(&self) -> String {
        self.running.stdout()
    }

    /// For a test's own commands, with the test's deadline.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.try_connection().await.expect("redis is there")
    }

    async fn try_connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        Client::open(self.url())?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// One command, on a connection of its own.
    pub async fn command(&self, words: &[&str]) -> Value {
        self.ask(words).await
    }

    /// The same, with its reply parsed: text, a number, a list.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words)
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same; `Err` if there is no reply or one of another type.
    pub async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, RedisError> {
        // Boxed: it is large, and callers hold it while they poll.
        let mut connection = Box::pin(self.try_connection()).await?;
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name)
            .arg(arguments)
            .query_async(&mut connection)
            .await
    }

    /// Until it replies and has loaded its data.
    pub(crate) async fn ready(&self) {
        eventually("redis answers PING", async || {
            self.try_ask::<String>(&["PING"]).await.ok()
        })
        .await;
    }
}

fn program(is_sentinel: bool) -> Command {
    let mut command = Command::new("redis-server");
    command.arg("redis.conf");
    if is_sentinel {
        command.arg("--sentinel");
    }
    command
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::options::AppendOnly;

    #[tokio::test]
    async fn written_data_survives_a_kill() {
        let mut server = RedisServer::start(&Options::append_only(AppendOnly::Always)).await;
        let url = server.url();
        server.command(&["SET", "a", "1"]).await;
        server.kill();
        server
            .try_ask::<String>(&["PING"])
            .await
            .expect_err("it is gone");
        server.restart().await;
        assert_eq!(server.url(), url);
        assert_eq!(server.ask::<String>(&["GET", "a"]).await, "1");
        server.terminate().await;
        server.restart().await;
        assert_eq!(server.ask::<String>(&["GET", "a"]).await, "1");
        server.kill();
        server.lose_data();
        server.restart().await;
        assert_eq!(server.ask::<Option<String>>(&["GET", "a"]).await, None);
    }

    #[tokio::test]
    async fn data_that_never_reached_the_disk_is_lost() {
        let mut server = RedisServer::start(&Options::append_only(AppendOnly::Always)).await;
        server.command(&["SET", "a", "old"]).await;
        let written = server.written();
        server.command(&["SET", "a", "new"]).await;
        server.kill();
        server.forget_after(written);
        server.restart().await;
        assert_eq!(server.ask::<String>(&["GET", "a"]).await, "old");
    }

    #[tokio::test]
    async fn a_frozen_server_replies_when_it_thaws() {
        let server = RedisServer::start(&Options::append_only(AppendOnly::No)).await;
        let mut connection = server.connection().await;
        server.freeze();
        let ping = redis::cmd("PING");
        let mut answer = Box::pin(ping.query_async::<String>(&mut connection));
        tokio::time::timeout(Duration::from_millis(100), &mut answer)
            .await
            .expect_err("it is frozen");
        server.thaw();
        assert_eq!(answer.await.expect("an answer"), "PONG");
    }

    #[tokio::test]
    async fn a_frozen_server_is_killed_with_its_test() {
        let server = RedisServer::start(&Options::default()).await;
        let process = format!("/proc/{}", server.running.id());
        assert!(fs::exists(&process).expect("proc can be read"));
        server.freeze();
        drop(server);
        assert!(!fs::exists(&process).expect("proc can be read"));
    }

    #[tokio::test]
    async fn a_password_is_required() {
        let server = RedisServer::start(&Options::default().with_password("s3cret")).await;
        assert!(server.url().contains(":s3cret@"));
        let stranger = Client::open(format!("redis://{}", server.address())).expect("a url");
        let error = async {
            let mut connection = stranger.get_multiplexed_async_connection().await?;
            redis::cmd("PING")
                .query_async::<String>(&mut connection)
                .await
        };
        error.await.expect_err("the password is required");
    }

    #[tokio::test]
    async fn its_certificate_is_signed_by_the_tests_authority() {
        let certificates = Certificates::generate();
        let server = RedisServer::start_with_tls(&Options::default(), &certificates).await;
        let address = server.tls_url().replace("rediss://", "");
        let shown = Command::new("openssl")
            .args(["s_client", "-verify_return_error", "-connect", &address])
            .arg("-CAfile")
            .arg(certificates.ca_file())
            .output()
            .expect("openssl can be run");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");
    }
}
