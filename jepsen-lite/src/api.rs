//! One HTTP call, spoken by hand: a test that judges answers wants to see the one that came, not
//! what a client made of it after following the leader and trying again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The HTTP API of one node.
#[derive(Clone, Debug)]
pub struct Api {
    url: String,
    tls: Option<Arc<ClientConfig>>,
    token: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, if it is JSON; else null.
    pub body: Value,
    head: String,
}

/// Longer than any answer may take: the server's own poll window is 25 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

impl Api {
    /// The API at a URL such as `http://127.0.0.1:7420`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self {
            url,
            tls: None,
            token: None,
        }
    }

    /// The API at an `https` URL of a server whose certificate this authority (PEM) has signed.
    ///
    /// # Errors
    /// When that is no certificate.
    pub fn trusting(url: &str, authority: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Some(Arc::new(config)),
            ..Self::new(url)
        })
    }

    /// The same, for a caller that shows this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `HOST:PORT`, for a connection of one's own.
    #[must_use]
    pub fn address(&self) -> &str {
        let (_, address) = self.url.split_once("://").unwrap_or(("", &self.url));
        address
    }

    /// A GET.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call("GET", path, None, None).await
    }

    /// A POST with a JSON body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        self.call("POST", path, None, Some(&body)).await
    }

    /// A POST that may be repeated under this key.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> anyhow::Result<Answer> {
        self.call("POST", path, Some(key), Some(&body)).await
    }

    /// A DELETE.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.call("DELETE", path, None, None).await
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.address(),
            body.len()
        );
        if !body.is_empty() {
            request.push_str("content-type: application/json\r\n");
        }
        if let Some(key) = key {
            request.push_str(&format!("idempotency-key: {key}\r\n"));
        }
        if let Some(token) = &self.token {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        let request = format!("{request}\r\n{body}");
        let called = timeout(ANSWER_WITHIN, self.send(&request));
        let called = called.await.context("no answer in time").flatten();
        called.with_context(|| format!("{method} {}{path}", self.url))
    }

    async fn send(&self, request: &str) -> anyhow::Result<Answer> {
        let connection = TcpStream::connect(self.address()).await?;
        let Some(config) = &self.tls else {
            return exchange(connection, request).await;
        };
        let (host, _) = self.address().rsplit_once(':').context("no port")?;
        let host = ServerName::try_from(host.to_owned())?;
        let connector = TlsConnector::from(Arc::clone(config));
        exchange(connector.connect(host, connection).await?, request).await
    }
}

async fn exchange(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> anyhow::Result<Answer> {
    connection.write_all(request.as_bytes()).await?;
    let mut received = Vec::new();
    connection.read_to_end(&mut received).await?;
    let received = String::from_utf8(received)?;
    let Some((head, body)) = received.split_once("\r\n\r\n") else {
        bail!("the connection ended within the head: {received:?}");
    };
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer {
        status,
        body: serde_json::from_str(body).unwrap_or_default(),
        head: head.to_owned(),
    })
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Errors
    /// When it has another.
    pub fn expect(self, status: u16) -> anyhow::Result<Value> {
        if self.status != status {
            bail!("status {} instead of {status}: {}", self.status, self.body);
        }
        Ok(self.body)
    }

    /// A header of the answer.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
