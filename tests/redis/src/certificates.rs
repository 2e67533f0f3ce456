//! A certificate authority for one test, and a certificate that it has signed for this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// By the `openssl` command, valid for a day, for 127.0.0.1 and localhost.
    pub fn generate() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let path = directory.path();
        fs::write(
            path.join("names"),
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n",
        )
        .expect("a file in the test's directory");
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(
            path,
            &format!("req -x509 {new_key} -keyout ca.key -out ca.crt -days 1 -subj /CN=test-ca"),
        );
        openssl(
            path,
            &format!("req {new_key} -keyout redis.key -out redis.csr -subj /CN=localhost"),
        );
        openssl(
            path,
            "x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile names -out redis.crt",
        );
        Self { directory }
    }

    /// The authority's certificate, which a client must trust.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// The server's certificate.
    pub fn certificate_file(&self) -> PathBuf {
        self.directory.path().join("redis.crt")
    }

    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("redis.key")
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .output()
        .expect("openssl can be run (Debian package openssl)");
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
