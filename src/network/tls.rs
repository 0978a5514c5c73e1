//! TCP under TLS, where both sides show a certificate of the cluster's own authority.
//!
//! Holding such a certificate is what makes a process a possible peer; *which* node it is, it says
//! in its hello, and the membership decides. The dialer checks the certificate against the host
//! name or IP address that it dialled.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::tcp;
use super::transport::{Acceptor, Duplex, Incoming, Transport};

/// PEM files, as named in the configuration.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificates of the authorities that peers' certificates must come from.
    pub authority: PathBuf,
    /// This node's certificate, followed by intermediate ones if there are any.
    pub certificate: PathBuf,
    /// The private key of that certificate.
    pub key: PathBuf,
}

/// Mutual TLS over TCP.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no such PEM section.
    #[error("{}: {why}", path.display())]
    File {
        path: PathBuf,
        why: rustls::pki_types::pem::Error,
    },
    /// The files were read, but do not go together.
    #[error("the TLS files do not fit: {0}")]
    Unfit(String),
}

/// What encrypts the connections of clients. They show a token and no certificate, so the authority
/// has no say here.
pub fn for_clients(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(certificates(&files.certificate)?, private_key(files)?)
        .map_err(unfit)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Tls {
    /// Reads the files; they are not read again.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.authority)? {
            roots.add(certificate).map_err(unfit)?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&files.certificate)?;
        let key = private_key(files)?;

        let provider = Arc::new(ring::default_provider());
        let client = client_config(&provider, &roots, chain.clone(), key.clone_key())?;
        let server = server_config(&provider, &roots, chain, key)?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
        })
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file_error = |why| TlsError::File {
        path: path.clone(),
        why,
    };
    let all = CertificateDer::pem_file_iter(path).map_err(file_error)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(file_error)?;
    if all.is_empty() {
        return Err(file_error(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(all)
}

fn private_key(files: &TlsFiles) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(&files.key).map_err(|why| TlsError::File {
        path: files.key.clone(),
        why,
    })
}

fn unfit(why: impl fmt::Display) -> TlsError {
    TlsError::Unfit(why.to_string())
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, TlsError> {
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain, key)
        .map_err(unfit)
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_client_cert_verifier(verifier.build().map_err(unfit)?)
        .with_single_cert(chain, key)
        .map_err(unfit)
}

impl Transport for Tls {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Duplex>> {
        Box::pin(async move {
            let stream = tcp::connect(address).await?;
            let stream = self
                .connector
                .connect(server_name(address)?, stream)
                .await?;
            Ok(Duplex::split(stream))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Acceptor>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let acceptor = TlsListener {
                listener,
                acceptor: self.acceptor.clone(),
            };
            Ok(Box::new(acceptor) as Box<dyn Acceptor>)
        })
    }
}

/// `host:port` or `[v6]:port` → what the peer's certificate must be for.
fn server_name(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, format!("{host}: {why}")))
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Acceptor for TlsListener {
    fn address(&self) -> String {
        let address = self.listener.local_addr();
        address.expect("a bound socket has an address").to_string()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            let acceptor = self.acceptor.clone();
            let open = async move {
                tcp::set_up(&stream)?;
                Ok(Duplex::split(acceptor.accept(stream).await?))
            };
            Ok(Incoming {
                from: from.to_string(),
                open: Box::pin(open),
            })
        })
    }
}
