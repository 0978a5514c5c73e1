//! TLS to the servers, behind the feature `tls`. Without it there is no such thing, and the type
//! says so: it has no values.

#[cfg(feature = "tls")]
pub use with::Tls;

/// TLS is not compiled in: turn on the feature `tls`.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
pub enum Tls {}

#[cfg(feature = "tls")]
mod with {
    use std::io;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use crate::error::Error;

    /// Whom to trust, and who the client is.
    #[derive(Clone)]
    pub struct Tls {
        connector: TlsConnector,
    }

    impl std::fmt::Debug for Tls {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Tls").finish_non_exhaustive()
        }
    }

    fn invalid(what: &'static str, error: &dyn std::fmt::Display) -> Error {
        Error::Invalid {
            what,
            why: format!("cannot be used: {error}"),
        }
    }

    impl Tls {
        /// Trusts servers whose certificates were issued by one of `authorities` (PEM), and no
        /// others: a lock service has a private authority more often than a public one.
        ///
        /// # Errors
        /// [`Error::Invalid`] when that is not PEM with at least one certificate.
        pub fn trusting(authorities: &[u8]) -> Result<Self, Error> {
            Self::build(authorities, None)
        }

        /// The same, and shows the servers a certificate of its own (PEM) with its key (PEM).
        ///
        /// # Errors
        /// [`Error::Invalid`] when one of the three cannot be used.
        pub fn mutual(authorities: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
            Self::build(authorities, Some((certificate, key)))
        }

        fn build(authorities: &[u8], identity: Option<(&[u8], &[u8])>) -> Result<Self, Error> {
            let what = "the authorities";
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authorities) {
                let certificate = certificate.map_err(|error| invalid(what, &error))?;
                roots
                    .add(certificate)
                    .map_err(|error| invalid(what, &error))?;
            }
            if roots.is_empty() {
                return Err(invalid(what, &"there is no certificate in them"));
            }
            let ring = Arc::new(rustls::crypto::ring::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(ring)
                .with_safe_default_protocol_versions()
                .map_err(|error| invalid("the TLS provider", &error))?
                .with_root_certificates(roots);
            let config = match identity {
                None => builder.with_no_client_auth(),
                Some((certificate, key)) => {
                    let what = "the client's certificate and key";
                    let chain = CertificateDer::pem_slice_iter(certificate)
                        .collect::<Result<Vec<_>, _>>()
                        .map_err(|error| invalid(what, &error))?;
                    let key = PrivateKeyDer::from_pem_slice(key)
                        .map_err(|error| invalid(what, &error))?;
                    builder
                        .with_client_auth_cert(chain, key)
                        .map_err(|error| invalid(what, &error))?
                }
            };
            Ok(Self {
                connector: TlsConnector::from(Arc::new(config)),
            })
        }

        pub(crate) async fn connect(
            &self,
            host: &str,
            tcp: TcpStream,
        ) -> io::Result<TlsStream<TcpStream>> {
            let name = ServerName::try_from(host.to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            self.connector.connect(name, tcp).await
        }
    }

    #[cfg(test)]
    mod tests {
        use std::time::Duration;

        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        use super::*;
        use crate::{Call, Connection, Endpoint};

        /// A server that speaks TLS under a certificate for `localhost`, and that certificate.
        async fn server() -> (String, String) {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
            let ring = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(ring)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
                .unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(mut tls) = acceptor.accept(tcp).await else {
                        continue;
                    };
                    let mut request = Vec::new();
                    while tls.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                        if request.ends_with(b"\r\n\r\n") {
                            request.clear();
                            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                            tls.write_all(reply).await.unwrap();
                            tls.flush().await.unwrap();
                        }
                    }
                }
            });
            (format!("https://localhost:{port}"), made.cert.pem())
        }

        const WITHIN: Duration = Duration::from_secs(10);

        #[tokio::test]
        async fn a_server_is_spoken_to_if_its_certificate_is_trusted() {
            let (url, certificate) = server().await;
            let tls = Tls::trusting(certificate.as_bytes()).unwrap();
            let endpoint = Endpoint::parse_with(&url, Some(&tls)).unwrap();
            let mut connection = Connection::open(&endpoint, None, WITHIN).await.unwrap();
            for _ in 0..2 {
                let reply = connection.call(Call::get("/healthz")).await.unwrap();
                assert_eq!((reply.status, reply.body), (200, &b"{}"[..]));
            }

            // The server takes one connection at a time.
            drop(connection);
            let (_, other) = server().await;
            let tls = Tls::trusting(other.as_bytes()).unwrap();
            let endpoint = Endpoint::parse_with(&url, Some(&tls)).unwrap();
            let refused = Connection::open(&endpoint, None, WITHIN).await;
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }

        #[tokio::test]
        async fn a_server_that_is_not_trusted_is_told_at_once_and_not_asked_for_ten_seconds() {
            let ((url, _), (_, other)) = (server().await, server().await);
            let tls = Tls::trusting(other.as_bytes()).unwrap();
            let within = Duration::from_secs(600);
            let builder = crate::Client::builder().tls(tls).timeout(within);
            let client = builder.endpoint(url).build().unwrap();
            let asked = tokio::time::timeout(WITHIN, client.cluster()).await;
            let error = asked.expect("it gives up at once").unwrap_err();
            assert!(matches!(error, Error::Distrusted { .. }), "{error}");
            assert!(error.to_string().contains("certificate"), "{error}");
        }

        #[test]
        fn what_is_no_certificate_is_refused() {
            for bytes in [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAA\n"] {
                assert!(Tls::trusting(bytes).is_err());
            }
        }
    }
}
