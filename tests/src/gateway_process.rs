//! The gateway as a child process, which can be killed, stopped and restarted on the same port and database.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use redis_processes::port::HeldPort;
use redis_processes::running::Running;
use tempfile::TempDir;

use crate::deadline::eventually;
use crate::gateway_settings::GatewaySettings;
use crate::in_process_gateway::ready;
use crate::program::chasqui;

#[derive(Debug)]
pub struct GatewayProcess {
    pub url: String,
    running: Running,
    /// Dropped before the directory.
    _port: HeldPort,
    directory: TempDir,
}

impl GatewayProcess {
    /// Starts it; ready when this returns. An in-memory database becomes a file, which a restart keeps.
    pub async fn start(settings: &GatewaySettings) -> Self {
        let process = Self::launch(settings);
        ready(&process.url).await;
        process
    }

    /// Starts it without waiting until it is ready, for one that refuses to start.
    pub fn launch(settings: &GatewaySettings) -> Self {
        Self::launch_with(&mut serve(), settings)
    }

    /// The same with another command, such as [`check`].
    pub fn launch_with(command: &mut Command, settings: &GatewaySettings) -> Self {
        let port = HeldPort::take();
        let directory = tempfile::tempdir().expect("a directory for the test");
        let mut settings = settings.clone();
        if settings.storage == "sqlite::memory:" {
            settings.storage = format!("sqlite:{}", directory.path().join("chasqui.db").display());
        }
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        fs::write(
            directory.path().join("chasqui.toml"),
            settings.to_toml(port.address, admin),
        )
        .expect("the configuration is written");
        Self {
            url: format!("http://{}", port.address),
            running: Running::start(command, directory.path()),
            _port: port,
            directory,
        }
    }

    /// Restarts it on the same port and database; ready when this returns.
    pub async fn restart(&mut self) {
        self.restart_with(&mut serve()).await;
    }

    /// The same with another command, such as one that puts a tracer before the program.
    pub async fn restart_with(&mut self, command: &mut Command) {
        self.running.kill();
        self.running = Running::start(command, self.directory.path());
        ready(&self.url).await;
    }

    /// Sends SIGKILL: no work is finished and nothing is flushed.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.running.terminate();
    }

    /// Sends SIGSTOP: its connections stay, and it does nothing.
    pub fn freeze(&self) {
        self.running.freeze();
    }

    /// Sends SIGCONT.
    pub fn thaw(&self) {
        self.running.thaw();
    }

    pub async fn ended(&mut self) -> ExitStatus {
        self.running.ended().await
    }

    pub fn has_ended(&mut self) -> bool {
        self.running.has_ended().is_some()
    }

    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Standard output so far, restarts included.
    pub fn stdout(&self) -> String {
        self.running.stdout()
    }

    /// The log so far, restarts included.
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// The admin listener since the last start.
    pub async fn admin_url(&self) -> String {
        eventually("the program prints its addresses", async || {
            let stdout = self.running.stdout();
            let (_, admin) = stdout.lines().last()?.rsplit_once("admin on ")?;
            Some(admin.trim().to_owned())
        })
        .await
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("chasqui.db")
    }

    /// Deletes the database, as the loss of a disk would. Only while the process is not running.
    pub fn lose_database(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", self.database().display()));
        }
    }
}

/// `chasqui serve`, in the process's own directory.
pub fn serve() -> Command {
    command("serve")
}

/// `chasqui check`, in the same directory.
pub fn check() -> Command {
    command("check")
}

fn command(name: &str) -> Command {
    let mut command = Command::new(chasqui());
    command.args([name, "--config", "chasqui.toml"]);
    command
}
