//! A client's program, run as a merchant's back end runs it.

use std::ffi::OsString;
use std::process::Command;

use chasqui_tests::gateway_settings::{GatewaySettings, RECEIVER_ID};
use chasqui_tests::sandbox::Sandbox;
use serde_json::Value;

use super::generation::{
    installed, output, python, python_of_khipu, python_of_the_gateway, typescript,
};

/// One of the programs. They have the same commands, and print the same JSON.
pub(super) struct Client {
    pub(super) name: &'static str,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

impl Client {
    /// Every client that can send an `Idempotency-Key`.
    pub(super) async fn all() -> [Self; 3] {
        [
            Self::generated().await,
            Self::openapi_fetch().await,
            Self::khipu_tools(),
        ]
    }

    /// Generated from the gateway's description.
    pub(super) async fn generated() -> Self {
        let folder = python_of_the_gateway().await;
        Self::in_python("openapi-python-client", "generated_client.py")
            .with("PYTHONPATH", folder.as_os_str())
    }

    /// Generated from the description of Khipu alone.
    pub(super) async fn generated_for_khipu() -> Self {
        let folder = python_of_khipu().await;
        Self::in_python("openapi-python-client for Khipu", "generated_client.py")
            .with("PYTHONPATH", folder.as_os_str())
    }

    pub(super) fn khipu_tools() -> Self {
        Self::in_python("khipu-tools", "khipu_tools_client.py")
    }

    pub(super) async fn openapi_fetch() -> Self {
        Self {
            name: "openapi-fetch",
            program: "node".into(),
            arguments: vec![typescript().await.into()],
            environment: Vec::new(),
        }
    }

    fn in_python(name: &'static str, script: &str) -> Self {
        Self {
            name,
            program: python("python").get_program().to_owned(),
            arguments: vec![installed(&format!("python/{script}")).into()],
            environment: vec![("PYTHONDONTWRITEBYTECODE", "1".into())],
        }
    }

    /// With a variable of its environment.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Runs a command against a Khipu, real or at the gateway. What it printed.
    pub(super) async fn run(
        &self,
        base_url: &str,
        api_key: &str,
        sandbox: &Sandbox,
        command: &[&str],
    ) -> Value {
        let mut program = Command::new(&self.program);
        program
            .args(&self.arguments)
            .args(command)
            .envs(self.environment.iter().cloned())
            .env("BASE_URL", base_url)
            .env("API_KEY", api_key)
            .env("SANDBOX_URL", &sandbox.url)
            .env("RECEIVER_ID", RECEIVER_ID.to_string());
        let printed = output(&mut program).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }
}

/// Gives the account a key that may do everything, and returns it.
pub(super) fn key_for_everything(settings: &mut GatewaySettings) -> String {
    settings
        .account()
        .add_api_key(r#"allow = ["payments", "refunds", "other"]"#)
}
