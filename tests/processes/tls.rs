//! The command line against a node that speaks TLS and wants tokens, as beyond loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use jepsen_lite::wait_for;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_lockring");
const SOON: Duration = Duration::from_secs(30);
const TOKEN: &str = "open-sesame";
/// `printf %s open-sesame | sha256sum`
const TOKEN_SHA256: &str = "d7ecdf25eaf3deba0f2628771dbdd22d4138ab6cf38f91ed02a2ca0dec7c8ab7";

/// A cluster of one node; the process ends with this.
struct Node {
    process: Child,
    dir: TempDir,
    url: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Makes an authority `NAME.pem` and a certificate of it for this machine.
fn certify(dir: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    write(dir, &format!("{name}.pem"), &authority);
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    write(dir, &format!("{name}-node.pem"), &certificate);
    write(dir, &format!("{name}-node.key"), &key.serialize_pem());
}

impl Node {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        certify(dir.path(), "ours");
        certify(dir.path(), "theirs");
        let [api, peer] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [api, peer] = [api, peer].map(|port| port.local_addr().unwrap());
        let url = format!("https://{api}");
        let config = format!(
            "[cluster]\nid = \"tls\"\nmembers = [{{ id = 1, api = {url:?}, peer = \"{peer}\" }}]\n\
             [node]\nid = 1\ndata_dir = \"data\"\n\
             [tls]\ncertificate = \"ours-node.pem\"\nkey = \"ours-node.key\"\n\
             authority = \"ours.pem\"\n\
             [[tokens]]\nname = \"test\"\nsha256 = \"{TOKEN_SHA256}\"\n\
             permissions = [\"read\", \"lock\"]\n"
        );
        let config = write(dir.path(), "node.toml", &config);
        let mut process = Command::new(BINARY);
        process.args(["serve", "--config"]).arg(config);
        process.current_dir(dir.path()).stdin(Stdio::null());
        let process = process.spawn().unwrap();
        Self { process, dir, url }
    }

    /// `lockring VERB… --endpoints URL OPTIONS…`, in the directory of the certificates.
    fn ask(&self, verb: &[&str], options: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(verb).args(["--endpoints", &self.url]);
        command.args(options).current_dir(self.dir.path());
        command.stdin(Stdio::null()).output().unwrap()
    }
}

#[tokio::test]
async fn the_command_line_reaches_a_node_whose_authority_and_token_it_was_given() {
    let node = Node::start();
    let known = ["--authority", "ours.pem", "--token", TOKEN];
    let led = async || {
        let status = node.ask(&["cluster", "status"], &known);
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        said.contains("node 1 leads").then_some(())
    };
    wait_for("a leader, over TLS", SOON, led).await.unwrap();

    let granted = node.ask(&["acquire", "demo"], &known);
    assert!(granted.status.success(), "{granted:?}");
    let held = node.ask(&["acquire", "demo"], &known);
    assert_eq!(held.status.code(), Some(3), "{held:?}");

    let without_token = node.ask(&["locks"], &["--authority", "ours.pem"]);
    assert_eq!(without_token.status.code(), Some(4), "{without_token:?}");
    let without_permission = node.ask(&["cluster", "transfer"], &known);
    assert_eq!(
        without_permission.status.code(),
        Some(4),
        "{without_permission:?}"
    );
    let without_authority = node.ask(&["locks"], &["--token", TOKEN]);
    assert_eq!(
        without_authority.status.code(),
        Some(2),
        "{without_authority:?}"
    );
    let no_file = node.ask(&["locks"], &["--authority", "none.pem"]);
    assert_eq!(no_file.status.code(), Some(2), "{no_file:?}");
    let of_others = node.ask(&["locks"], &["--authority", "theirs.pem", "--token", TOKEN]);
    assert_eq!(of_others.status.code(), Some(5), "{of_others:?}");
}
