//! A shell that runs a document's commands one block after the other, as a reader pastes them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use chasqui_tests::deadline::eventually;
use chasqui_tests::program;
use tempfile::TempDir;

use crate::house::source::workspace;

/// A bash in an empty directory, with a network of its own where the machine allows that: the documents' ports are free there.
pub(super) struct Shell {
    bash: Child,
    input: ChildStdin,
    directory: TempDir,
    /// Of what was printed, up to where the last block ended.
    read: usize,
    blocks: usize,
}

impl Shell {
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let release = directory.path().join("target/release");
        fs::create_dir_all(&release).expect("a directory");
        symlink(program::chasqui(), release.join("chasqui")).expect("a link");
        symlink(program::khipu_sandbox(), release.join("khipu-sandbox")).expect("a link");
        let bin = directory.path().join("bin");
        fs::create_dir(&bin).expect("a directory");
        write_cargo(&bin.join("cargo"));
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
        let output = fs::File::create(directory.path().join("output")).expect("a file");
        let mut bash = isolated()
            .args(["bash", "--noprofile", "--norc"])
            .current_dir(directory.path())
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("the file again"))
            .stderr(output)
            // What it starts, and what that starts, is of this group.
            .process_group(0)
            .spawn()
            .expect("bash");
        let input = bash.stdin.take().expect("piped");
        Self {
            bash,
            input,
            directory,
            read: 0,
            blocks: 0,
        }
    }

    pub(super) fn write_file(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).expect("written");
    }

    /// Runs commands and returns what they printed. The last one must succeed.
    pub(super) async fn run(&mut self, commands: &str) -> String {
        self.blocks += 1;
        let end = format!("-- end of block {}: ", self.blocks);
        write!(self.input, "{commands}\necho; echo \"{end}$?.\"\n").expect("bash reads");
        let printed = self.until(commands, |printed| {
            let (before, rest) = printed.split_once(&end)?;
            let (status, _) = rest.split_once(".\n")?;
            Some((before.to_owned(), status.to_owned()))
        });
        let (printed, status) = printed.await;
        assert_eq!(status, "0", "{commands}\n{printed}");
        self.read = self.output().rfind(&end).expect("it was there");
        printed
    }

    /// Waits until something has been printed, by a block or by what runs in the background.
    pub(super) async fn printed(&self, text: &str) {
        eventually(text, async || self.output().contains(text).then_some(())).await;
    }

    async fn until<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, async || find(&self.output()[self.read..])).await
    }

    fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).expect("the output")
    }
}

impl Drop for Shell {
    #[expect(
        clippy::print_stderr,
        reason = "a test that fails shows what was printed"
    )]
    fn drop(&mut self) {
        let group = format!("-{}", self.bash.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.bash.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.output());
        }
    }
}

/// `unshare` with a network that has only a loopback device, or nothing where the machine forbids it.
fn isolated() -> Command {
    const ISOLATED: [&str; 2] = ["--map-root-user", "--net"];
    const LOOPBACK: &str = "ip link set lo up && exec \"$@\"";
    let arguments = ["sh", "-c", LOOPBACK, "sh"];
    let tried = Command::new("unshare")
        .args(ISOLATED)
        .args(arguments)
        .arg("true")
        .output();
    if tried.is_ok_and(|output| output.status.success()) {
        let mut command = Command::new("unshare");
        command.args(ISOLATED).args(arguments);
        command
    } else {
        Command::new("env")
    }
}

/// A `cargo` that builds the workspace unoptimised and without the network, for it is what the other tests have built.
fn write_cargo(path: &Path) {
    let script = format!(
        "#!/bin/sh\nfor word; do shift; [ \"$word\" = --release ] || set -- \"$@\" \"$word\"; done\n\
         cd '{}' && CARGO_NET_OFFLINE=true exec '{}' \"$@\"\n",
        workspace().display(),
        env!("CARGO"),
    );
    fs::write(path, script).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
}
