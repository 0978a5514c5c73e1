//! Where one server listens.

use crate::error::Error;
use crate::tls::Tls;

/// One server's API address.
///
/// ```
/// use lockring_client::Endpoint;
///
/// let endpoint = Endpoint::parse("http://127.0.0.1:7420")?;
/// assert_eq!(endpoint.url(), "http://127.0.0.1:7420");
/// assert_eq!(Endpoint::parse("127.0.0.1:7420")?.url(), endpoint.url());
/// assert_eq!(Endpoint::parse("http://[::1]:7420/")?.host(), "::1");
/// assert!(Endpoint::parse("http://127.0.0.1:7420/v1").is_err());
/// # Ok::<_, lockring_client::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: String,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

fn invalid(text: &str, why: &str) -> Error {
    Error::Invalid {
        what: "the endpoint",
        why: format!("`{text}` {why}"),
    }
}

impl Endpoint {
    /// An address such as `http://10.0.0.1:7420`; the scheme may be left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else, and for `https`, which [`Self::parse_with`] takes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(text, None)
    }

    /// An address whose scheme may be `https`, which it is when left out and `tls` is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else, and for `https` without `tls` or the other way round:
    /// a caller who asked for TLS must not find itself talking in the clear.
    pub fn parse_with(text: &str, tls: Option<&Tls>) -> Result<Self, Error> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => (if tls.is_some() { "https" } else { "http" }, text),
        };
        let tls = match (scheme, tls) {
            ("http", None) => None,
            ("https", Some(_)) => tls.cloned(),
            ("https", None) => return Err(invalid(text, "wants TLS, which is not set up")),
            ("http", Some(_)) => return Err(invalid(text, "is in the clear, but TLS is set up")),
            _ => return Err(invalid(text, "has a scheme other than http and https")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let Some((host, port)) = authority.rsplit_once(':') else {
            return Err(invalid(text, "has no port"));
        };
        let port = port
            .parse()
            .map_err(|_| invalid(text, "has no port from 0 to 65535"))?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let allowed = |c: char| match bare {
            Some(_) => c.is_ascii_hexdigit() || matches!(c, ':' | '.'),
            None => c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'),
        };
        let host = bare.unwrap_or(host);
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(invalid(text, "has no host name or address"));
        }
        Ok(Self {
            url: format!("{scheme}://{authority}"),
            host: host.to_owned(),
            port,
            tls,
        })
    }

    /// The address in full, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they stand in a URL.
    pub(crate) fn authority(&self) -> &str {
        self.url
            .split_once("://")
            .map_or(&*self.url, |(_, authority)| authority)
    }

    pub(crate) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_its_text() {
        for text in [
            "",
            "http://",
            "127.0.0.1",
            "http://:7420",
            "http://a:70000",
            "ftp://a:1",
            "http://a b:1",
            "http://user@a:1",
            "http://[::1:7420",
            "http://::1:7420",
            "https://a:1",
            "http://a:1\r\nx: y",
        ] {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
