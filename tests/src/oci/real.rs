//! Debian's `docker-registry`, and `skopeo` to push with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Certs;

/// A running registry of one's own, over TLS; killed when dropped.
pub struct RealRegistry {
    dir: TempDir,
    child: Child,
    port: u16,
}

/// Who may ask it.
pub enum Login<'a> {
    Anybody,
    /// User and password, kept by htpasswd.
    Basic(&'a str, &'a str),
    /// Whoever has a token of this server, for the service `registry`, signed by the key of this certificate.
    Token {
        realm: &'a str,
        cert: &'a Path,
    },
}

impl RealRegistry {
    /// None if this machine has none of the programs that it takes: then the test is to be skipped.
    pub fn start(certs: &Certs, login: &Login<'_>) -> Option<RealRegistry> {
        for (program, argument) in
            [("docker-registry", "--version"), ("skopeo", "--version"), ("htpasswd", "-h")]
        {
            if Command::new(program).arg(argument).output().is_err() {
                eprintln!("skipped: there is no {program} here");
                return None;
            }
        }
        let dir = TempDir::new().unwrap();
        let auth = match login {
            Login::Anybody => String::new(),
            Login::Basic(user, password) => {
                let hashed = Command::new("htpasswd").args(["-nbB", user, password]).output().unwrap().stdout;
                fs::write(dir.path().join("htpasswd"), hashed).unwrap();
                format!("auth:\n  htpasswd:\n    realm: tests\n    path: {}/htpasswd\n", dir.path().display())
            }
            Login::Token { realm, cert } => format!(
                "auth:\n  token:\n    realm: {realm}\n    service: registry\n    issuer: tests\n    rootcertbundle: {}\n",
                cert.display()
            ),
        };
        let (store, local) = (dir.path().join("store"), certs.local());
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n  tls:\n    certificate: {}\n    key: {}\n{auth}",
            store.display(),
            local.cert.display(),
            local.key.display(),
        );
        fs::write(dir.path().join("config.yml"), config).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", "config.yml"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        let port = said.expect("docker-registry said nowhere where it listens");
        // What it says after that is read, so that it never waits for somebody to.
        std::thread::spawn(move || lines.count());
        Some(RealRegistry { dir, child, port })
    }

    /// Host and port, by the name of its certificate.
    pub fn name(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Copies what a layout has by this tag, and answers its digest there. `options` are skopeo's.
    pub fn push(&self, layout: &Path, tag: &str, repository: &str, options: &[&str]) -> String {
        let from = format!("oci:{}:{tag}", layout.display());
        let to = format!("docker://{}/{repository}:{tag}", self.name());
        let digest: PathBuf = self.dir.path().join("digest");
        let output = Command::new("skopeo")
            .args(["copy", "--quiet", "--dest-tls-verify=false", "--digestfile"])
            .arg(&digest)
            .args(options)
            .args([&from, &to])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(digest).unwrap().trim().to_owned()
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
