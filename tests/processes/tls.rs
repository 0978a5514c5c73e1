//! A cluster that strangers can reach: TLS on all ports, and tokens.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use jepsen_lite::{Api, Cluster, Options};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const WORKER: &str = "token-of-a-worker";
const READER: &str = "token-of-a-reader";

/// An authority and the files that it made.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
            files: tempfile::tempdir().unwrap(),
        }
    }

    /// The section `[tls]` of a node: one certificate does for all, as they share an address.
    fn section(&self) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let write = |name: &str, pem: &str| {
            let path = self.files.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        format!(
            "[tls]\ncertificate = {:?}\nkey = {:?}\nauthority = {:?}\n",
            write("node.pem", &certificate),
            write("node.key", &key.serialize_pem()),
            write("authority.pem", &self.pem),
        )
    }

    async fn three_nodes(&self) -> Cluster {
        let token = |token: &str, permissions: &str| {
            let digits = Sha256::digest(token.as_bytes());
            let sha256: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(
                "[[tokens]]\nname = {token:?}\nsha256 = {sha256:?}\npermissions = {permissions}\n"
            )
        };
        let mut options = Options::new(env!("CARGO_BIN_EXE_lockring"));
        options.sections =
            self.section() + &token(WORKER, r#"["read", "lock"]"#) + &token(READER, r#"["read"]"#);
        options.authority = Some(self.pem.clone());
        Cluster::start(options).await.unwrap()
    }
}

/// What a node answers to somebody who wants a lock: the status and the code of the problem.
async fn acquire(api: &Api, lock: &str) -> (u16, Value) {
    let path = format!("/v1/locks/{lock}/acquire");
    let body = json!({"owner": "test", "ttl_ms": 60_000});
    let answer = api.post(&path, body).await.unwrap();
    (answer.status, answer.body["code"].clone())
}

/// The nodes' certificates are accepted by each other or the cluster would not become ready.
#[tokio::test]
async fn a_cluster_behind_tls_and_tokens_serves_whom_it_knows() {
    let ours = Authority::new();
    let cluster = ours.three_nodes().await;
    for id in cluster.ids() {
        let (api, lock) = (cluster.api(id), format!("job-{id}"));
        let worker = api.with_token(WORKER);
        let reader = api.with_token(READER);
        assert_eq!(acquire(&api, &lock).await, (401, json!("unauthenticated")));
        let unknown = api.with_token("no such token");
        assert_eq!(acquire(&unknown, &lock).await.0, 401);
        assert_eq!(acquire(&reader, &lock).await, (403, json!("forbidden")));
        assert_eq!(acquire(&worker, &lock).await.0, 200);
        let seen = reader.get(&format!("/v1/locks/{lock}")).await.unwrap();
        let seen = seen.expect(200).unwrap();
        assert!(seen["holders"][0]["fence"].is_u64(), "{seen}");
    }

    let api = cluster.api(1);
    let in_the_clear = Api::new(&format!("http://{}", api.address()));
    in_the_clear.get("/readyz").await.unwrap_err();
    let strangers = Authority::new();
    let mistrusting = Api::trusting(api.url(), &strangers.pem).unwrap();
    mistrusting.get("/readyz").await.unwrap_err();
    // A peer has to show a certificate, which a client has not.
    let peer = format!("https://{}", cluster.peer(1));
    let peer = Api::trusting(&peer, &ours.pem).unwrap();
    let refused = format!("{:#}", peer.get("/").await.unwrap_err());
    assert!(refused.contains("CertificateRequired"), "{refused}");
}

/// `lockring VERB… --endpoints URL,URL,URL OPTIONS…`, in a directory with the authorities' files.
fn lockring(cluster: &Cluster, dir: &Path, verb: &[&str], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockring"));
    command
        .args(verb)
        .args(["--endpoints", &cluster.endpoints().join(",")])
        .args(options)
        .current_dir(dir)
        .stdin(Stdio::null());
    command.output().unwrap()
}

#[tokio::test]
async fn the_command_line_reaches_nodes_whose_authority_and_token_it_was_given() {
    let ours = Authority::new();
    let cluster = ours.three_nodes().await;
    let dir = ours.files.path();
    std::fs::write(dir.join("theirs.pem"), Authority::new().pem).unwrap();
    let run = |verb: &[&str], options: &[&str]| lockring(&cluster, dir, verb, options);
    let trusting = |token| ["--authority", "authority.pem", "--token", token];

    let granted = run(&["acquire", "demo", "--json"], &trusting(WORKER));
    assert!(granted.status.success(), "{granted:?}");
    let granted: Value = serde_json::from_slice(&granted.stdout).unwrap();
    let seen = run(&["locks", "--json"], &trusting(READER));
    assert!(seen.status.success(), "{seen:?}");
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!(seen[0]["holders"][0]["fence"], granted["fence"]);

    let with_code = |code: i32, output: Output| {
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    };
    with_code(3, run(&["acquire", "demo"], &trusting(WORKER)));
    // Without a token, or with one that does not allow it.
    with_code(4, run(&["locks"], &["--authority", "authority.pem"]));
    with_code(4, run(&["acquire", "demo"], &trusting(READER)));
    with_code(4, run(&["cluster", "transfer"], &trusting(WORKER)));
    // Without an authority, and with none that the nodes know.
    with_code(2, run(&["locks"], &["--token", WORKER]));
    with_code(2, run(&["locks"], &["--authority", "none.pem"]));
    let of_others = ["--authority", "theirs.pem", "--token", WORKER];
    with_code(5, run(&["locks"], &of_others));
}
