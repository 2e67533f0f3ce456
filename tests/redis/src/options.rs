//! The configuration of a test's Redis.

use crate::certificates::Certificates;

/// By default one that loses at most a second.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub append_only: AppendOnly,
    /// Of the user `default`.
    pub password: Option<String>,
    /// Further lines of redis.conf.
    pub more: Vec<String>,
}

/// When what was written reaches the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AppendOnly {
    /// Never: all is lost with the process.
    No,
    #[default]
    EverySecond,
    Always,
}

impl Options {
    pub fn append_only(append_only: AppendOnly) -> Self {
        Self {
            append_only,
            ..Self::default()
        }
    }

    /// With one more line of redis.conf.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.more.push(line.into());
        self
    }

    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// With TLS on a port of its own, beside the plain one.
    #[must_use]
    pub(crate) fn with_tls(self, port: u16, certificates: &Certificates) -> Self {
        self.with(&format!("tls-port {port}"))
            .with(&format!(
                "tls-cert-file {}",
                certificates.certificate_file().display()
            ))
            .with(&format!(
                "tls-key-file {}",
                certificates.key_file().display()
            ))
            .with(&format!(
                "tls-ca-cert-file {}",
                certificates.ca_file().display()
            ))
            .with("tls-auth-clients no")
    }

    /// redis.conf for this port.
    pub(crate) fn to_conf(&self, port: u16) -> String {
        let append_only = match self.append_only {
            AppendOnly::No => "appendonly no",
            AppendOnly::EverySecond => "appendonly yes\nappendfsync everysec",
            AppendOnly::Always => "appendonly yes\nappendfsync always",
        };
        let password = self
            .password
            .as_ref()
            .map(|password| format!("requirepass {password}\nmasterauth {password}\n"))
            .unwrap_or_default();
        // A replica's first synchronisation would wait for others to join it.
        format!(
            "port {port}\nbind 127.0.0.1\nprotected-mode no\ndaemonize no\nsave \"\"\n\
             repl-diskless-sync-delay 0\n{append_only}\n{password}{}\n",
            self.more.join("\n")
        )
    }
}
