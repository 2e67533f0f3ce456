//! A Lua script and one call of it.

use ::redis::{Cmd, ToRedisArgs, cmd};

/// Kept in a static behind a `LazyLock`: its hash is computed once.
#[derive(Debug)]
pub struct Script {
    text: String,
    hash: String,
    pub(super) is_durable: bool,
}

/// One call of a script. Every key must be of the one partition that it is run on.
#[derive(Debug, Clone)]
pub struct ScriptCall {
    pub(super) script: &'static Script,
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl Script {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let hash = ::redis::Script::new(&text).get_hash().to_owned();
        Self {
            text,
            hash,
            is_durable: false,
        }
    }

    /// Its calls return `Ok` once as many replicas as the settings name have its writes too.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    /// A call without keys or arguments yet.
    pub fn call(&'static self) -> ScriptCall {
        ScriptCall {
            script: self,
            keys: Vec::new(),
            args: Vec::new(),
        }
    }
}

impl ScriptCall {
    #[must_use]
    pub fn key(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }

    /// Numbers as decimal text, bytes as they are.
    #[must_use]
    pub fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.args.extend(arg.to_redis_args());
        self
    }

    /// Calls the script by its hash; the server replies `NOSCRIPT` if it does not have the script.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.script.hash.as_bytes())
    }

    /// Sends the script's text, which the server caches.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text.as_bytes())
    }

    fn command(&self, name: &str, script: &[u8]) -> Cmd {
        let mut command = cmd(name);
        command
            .arg(script)
            .arg(self.keys.len())
            .arg(&self.keys)
            .arg(&self.args);
        command
    }
}
