use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

/// An authority and one certificate of it, as PEM files for both ends of a test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// TLS of a node whose certificate this authority signed and that trusts `trusted`.
    fn node(&self, name: &str, trusted: &Self) -> Tls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, pem: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let files = TlsFiles {
            authority: write("authority.pem", &trusted.pem),
            certificate: write("node.pem", &certificate),
            key: write("node.key", &key.serialize_pem()),
        };
        Tls::load(&files).unwrap()
    }
}

async fn answer(client: &Tls, server: &Tls) -> Result<Bytes, CallError> {
    let listener = serve(server, "127.0.0.1:0", &Arc::default()).await;
    let calls = dialer(client, 1).calls(target(2, listener.address()), 0);
    within(calls.call(ECHO, "secret".into(), PATIENCE)).await
}

#[tokio::test]
async fn nodes_of_one_authority_talk() {
    let ours = Authority::new();
    let (one, two) = (ours.node("127.0.0.1", &ours), ours.node("127.0.0.1", &ours));
    assert_eq!(answer(&one, &two).await, Ok("secret".into()));
}

#[tokio::test]
async fn a_node_of_another_authority_is_not_served() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = ours.node("127.0.0.1", &ours);
    let stranger = theirs.node("127.0.0.1", &ours);
    let error = answer(&stranger, &server).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_node_does_not_talk_to_a_server_of_another_authority_or_address() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let client = ours.node("127.0.0.1", &ours);
    for server in [
        theirs.node("127.0.0.1", &ours),
        ours.node("db.internal", &ours),
    ] {
        let error = answer(&client, &server).await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn plain_tcp_and_tls_do_not_mix() {
    let ours = Authority::new();
    let server = ours.node("127.0.0.1", &ours);
    let listener = serve(&server, "127.0.0.1:0", &Arc::default()).await;
    let greeted = within(dialer(&Tcp, 1).greet(&target(2, listener.address()))).await;
    assert!(
        matches!(greeted, Err(CallError::Unreachable { .. })),
        "{greeted:?}"
    );
}

#[test]
fn files_that_hold_nothing_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let files = TlsFiles {
        authority: empty.clone(),
        certificate: empty.clone(),
        key: empty,
    };
    let error = Tls::load(&files).unwrap_err().to_string();
    assert!(error.contains("empty.pem"), "{error}");
}
