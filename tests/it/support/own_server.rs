//! A server that one test starts for itself, by one of the scripts.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tokio::process::Command;

/// A directory that other users may enter, and a server in it; both go at the end.
pub struct OwnServer {
    script: &'static str,
    directory: tempfile::TempDir,
}

impl OwnServer {
    /// `script` is one of scripts/ that start and stop servers.
    pub fn new(script: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { script, directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where it lives, for the script.
    pub fn server(&self) -> String {
        self.path("server").to_str().unwrap().to_owned()
    }

    fn command(&self, action: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(format!("{}/scripts/{}", env!("CARGO_MANIFEST_DIR"), self.script));
        command.arg(action).arg(self.server()).args(arguments).env_remove("KAFKA_BOOTSTRAP").env("KAFKA_WITH", "jars");
        command
    }

    /// Runs the script to its end and returns what it wrote.
    pub async fn run(&self, action: &str, arguments: &[&str]) -> String {
        let output = Command::from(self.command(action, arguments)).output().await.unwrap();
        assert!(output.status.success(), "{action}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let removed = self.command("remove", &[]).output();
        if !removed.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("{} remove: {removed:?}", self.script);
        }
    }
}
