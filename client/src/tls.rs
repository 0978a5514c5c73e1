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
}
