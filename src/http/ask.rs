//! What came in, read strictly: path, key and body.
//!
//! A misspelt field that is silently ignored is a lock taken on other terms than its caller
//! believes. So whatever the contract does not know is refused, and by name: unknown fields and
//! parameters, the same parameter twice, a body in another format, a value of another type.
//!
//! A body has to say that it is `application/json`. That is not pedantry: a web page can make a
//! browser post a form to a node on its visitor's own machine without asking anybody, but not JSON.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{header, request::Parts};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use lockring_client::wire::header::{IDEMPOTENCY_KEY, LAST_EVENT_ID};
use lockring_core::{LockName, MemberName, NameError, RequestId, RingName, SessionId, limits};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::access::TokenHash;
use super::error::Failure;
use super::parameters::Parameters;
use crate::service::Key;

/// A request on its way to its handler.
#[derive(Debug)]
pub(super) struct Ask {
    parts: Parts,
    body: Body,
    /// The template of the call, whose parameters say where those of the path are.
    template: &'static str,
    /// The hash of the caller's token, if tokens are configured.
    pub(super) token: Option<TokenHash>,
}

impl Ask {
    pub(super) fn new(request: Request, template: &'static str) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            parts,
            body,
            template,
            token: None,
        }
    }

    pub(super) fn authorization(&self) -> Option<&[u8]> {
        let value = self.parts.headers.get(header::AUTHORIZATION)?;
        Some(value.as_bytes())
    }

    /// The lock in the path.
    pub(super) fn lock(&self) -> Result<LockName, Failure> {
        let name = self.segment("name")?;
        LockName::parse(&name).map_err(|error| wrong_name("name", &name, &error))
    }

    /// The session in the path.
    pub(super) fn session(&self) -> Result<SessionId, Failure> {
        session_of("id", &self.segment("id")?)
    }

    /// The ring in the path.
    pub(super) fn ring(&self) -> Result<RingName, Failure> {
        let name = self.segment("ring")?;
        RingName::parse(&name).map_err(|error| wrong_name("ring", &name, &error))
    }

    /// The ring's member in the path.
    pub(super) fn member(&self) -> Result<MemberName, Failure> {
        member_of("member", &self.segment("member")?)
    }

    /// What the reader has, as an `ETag` told it.
    pub(super) fn if_none_match(&self) -> Option<&str> {
        self.parts.headers.get(header::IF_NONE_MATCH)?.to_str().ok()
    }

    /// The node in the path.
    pub(super) fn node(&self) -> Result<u64, Failure> {
        let id = self.segment("id")?;
        number("id", &id, 1..=u64::from(u32::MAX))
    }

    /// What the call is repeated under.
    pub(super) fn key(&self) -> Result<Key, Failure> {
        let Some(value) = self.parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Key::Absent);
        };
        let key = String::from_utf8_lossy(value.as_bytes());
        match RequestId::of_key(&key) {
            Ok(request) => Ok(Key::Clients(request)),
            Err(error) => Err(wrong_name("Idempotency-Key", &key, &error)),
        }
    }

    /// What a call is repeated under that opens a session. There is none yet that the key could
    /// count in, so it counts for the bearer of the token: nobody can come by another's session
    /// through guessing its key.
    pub(super) fn opening_key(&self) -> Result<Key, Failure> {
        let key = self.key()?;
        let Some(token) = self.token else {
            return Ok(key);
        };
        let Some(given) = self.parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(key);
        };
        let digest = Sha256::new()
            .chain_update(token)
            .chain_update(given)
            .finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Ok(Key::Clients(RequestId::from_bits(u128::from_be_bytes(
            first,
        ))))
    }

    /// The first bytes of the hash of the caller's token, if tokens are configured.
    pub(super) fn bearer(&self) -> Option<[u8; 4]> {
        self.token.map(|[a, b, c, d, ..]| [a, b, c, d])
    }

    /// Whether the session in the path is named by the digits that others see, and which.
    pub(super) fn first_digits(&self) -> Result<Option<u32>, Failure> {
        Ok(first_digits(&self.segment("id")?))
    }

    /// Behind which event a reader of a stream goes on.
    pub(super) fn last_event_id(&self) -> Option<String> {
        let id = self.parts.headers.get(LAST_EVENT_ID)?;
        Some(String::from_utf8_lossy(id.as_bytes()).into_owned())
    }

    /// The parameters of the query.
    pub(super) fn parameters(&self) -> Result<Parameters, Failure> {
        Parameters::of(&self.parts.uri)
    }

    /// Refuses a query where none is known.
    pub(super) fn no_parameters(&self) -> Result<(), Failure> {
        self.parameters()?.end()
    }

    /// The body, as JSON of this shape and nothing else; an absent body stands for `{}`.
    pub(super) async fn json<T: DeserializeOwned>(self, within: Duration) -> Result<T, Failure> {
        self.no_parameters()?;
        self.body(within).await
    }

    async fn body<T: DeserializeOwned>(self, within: Duration) -> Result<T, Failure> {
        let json = self.parts.headers.get(header::CONTENT_TYPE).map(|value| {
            let value = value.to_str().unwrap_or_default();
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        });
        let body = read(self.body, within).await?;
        if body.is_empty() {
            return parse(b"{}");
        }
        match json {
            Some(true) => parse(&body),
            Some(false) | None => Err(Failure::UnsupportedMediaType),
        }
    }

    /// Refuses a body where none is known; an empty JSON object is none.
    pub(super) async fn no_body(self, within: Duration) -> Result<(), Failure> {
        self.no_parameters()?;
        self.only_parameters(within).await
    }

    /// Refuses a body, of a call whose parameters were read.
    pub(super) async fn only_parameters(self, within: Duration) -> Result<(), Failure> {
        if self.body.is_end_stream() {
            return Ok(());
        }
        self.body::<Nothing>(within).await.map(|_| ())
    }

    /// A parameter in the path, decoded. A `/` in it is written `%2F`.
    fn segment(&self, field: &'static str) -> Result<Cow<'_, str>, Failure> {
        let is_it = |part: &str| {
            let name = part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'));
            name == Some(field)
        };
        let at = self.template.split('/').position(is_it);
        let at = at.expect("only asked of calls that have it");
        let raw = self.parts.uri.path().split('/').nth(at);
        let raw = raw.expect("the router matched the template");
        decode(raw).ok_or_else(|| Failure::invalid(field, raw, "UTF-8, percent-encoded"))
    }
}

/// A body without fields.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Reads a body to its end, or to the bound: what it says of its own length is not believed.
async fn read(mut body: Body, within: Duration) -> Result<Bytes, Failure> {
    let too_large = || Failure::TooLarge;
    let bound = limits::BODY_BYTES_MAX;
    if body.size_hint().lower() > bound as u64 {
        return Err(too_large());
    }
    let all = async {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::Malformed(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if first.len() + rest.len() + data.len() > bound {
                return Err(too_large());
            }
            // Nearly every body is one frame, and that one is not copied.
            if first.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&data);
            }
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok([first, rest.freeze()].concat().into())
    };
    timeout(within, all).await.map_err(|_| {
        Failure::Malformed(format!(
            "the body was not complete within {} ms",
            within.as_millis()
        ))
    })?
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // A struct is also read from an array, by the order of its fields; the contract knows no such.
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    let error = match serde_json::from_slice(body) {
        Ok(value) if is_object => return Ok(value),
        Ok(_) => return Err(not_an_object(body)),
        Err(error) => error,
    };
    match error.classify() {
        Category::Data => Err(wrong_data::<T>(body, &error)),
        Category::Syntax | Category::Eof | Category::Io => {
            Err(Failure::Malformed(format!("the body is not JSON: {error}")))
        }
    }
}

/// Which field of a body did not fit, and why: found by parsing it again, off the hot path.
fn wrong_data<T: DeserializeOwned>(body: &[u8], error: &serde_json::Error) -> Failure {
    let whole: serde_json::Value = match serde_json::from_slice(body) {
        Ok(whole) => whole,
        Err(error) => return Failure::Malformed(format!("the body is not JSON: {error}")),
    };
    if !whole.is_object() {
        return not_an_object(body);
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    if let Some(field) = quoted_after(message, "unknown field ") {
        let value = whole.get(field).map(ToString::to_string);
        let known = message.split_once(", ").map_or("", |(_, known)| known);
        return Failure::invalid(
            field.to_owned(),
            value.unwrap_or_default(),
            format!("no such field: {known}"),
        );
    }
    if let Some(field) = quoted_after(message, "missing field ") {
        return Failure::invalid(field.to_owned(), "absent", "has to be there");
    }
    let path =
        serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(body))
            .err()
            .map(|error| error.path().to_string())
            .unwrap_or_default();
    let field = quoted_after(message, "duplicate field ").unwrap_or(&path);
    let value = whole.get(field).map(ToString::to_string);
    let bound = message.to_owned();
    Failure::invalid(field.to_owned(), value.unwrap_or_default(), bound)
}

fn not_an_object(body: &[u8]) -> Failure {
    let value = String::from_utf8_lossy(body);
    Failure::invalid("body", value, "a JSON object")
}

/// The name between backticks behind these words.
fn quoted_after<'a>(message: &'a str, words: &str) -> Option<&'a str> {
    message.strip_prefix(words)?.split('`').nth(1)
}

/// A session's id in a field.
pub(super) fn session_of(field: &'static str, id: &str) -> Result<SessionId, Failure> {
    SessionId::parse(id).map_err(|error| wrong_name(field, id, &error))
}

/// A member's name in a field.
pub(super) fn member_of(field: &'static str, name: &str) -> Result<MemberName, Failure> {
    MemberName::parse(name).map_err(|error| wrong_name(field, name, &error))
}

/// The first eight digits of a session's id, in place of the whole.
pub(super) fn first_digits(id: &str) -> Option<u32> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = id.len() == 8 && id.bytes().all(lower);
    digits.then(|| u32::from_str_radix(id, 16).ok()).flatten()
}

pub(super) fn number(
    field: &'static str,
    text: &str,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<u64, Failure> {
    match text.parse() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(Failure::invalid(
            field,
            text,
            format!("a number from {} to {}", bounds.start(), bounds.end()),
        )),
    }
}

pub(super) fn wrong_name(
    field: impl Into<Cow<'static, str>>,
    value: &str,
    error: &NameError,
) -> Failure {
    let field = field.into();
    let bound = match error {
        NameError::Empty => "at least 1 byte".to_owned(),
        NameError::TooLong { bytes_max, .. } => format!("at most {bytes_max} bytes"),
        NameError::Control { .. } => "no control characters".to_owned(),
        NameError::NotHex { digits } => format!("{digits} lower-case hexadecimal digits"),
        NameError::NotVisible { .. } => "visible ASCII characters".to_owned(),
    };
    Failure::Invalid {
        value: value.to_owned(),
        detail: format!("`{field}` {error}"),
        field,
        bound,
    }
}

/// Undoes percent-encoding; `None` if it does not stand for UTF-8.
fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
        bytes.push(u8::try_from(high? * 16 + low?).expect("two digits are a byte"));
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
pub(super) mod tests {
    use lockring_client::wire::{Acquire, AddNode};

    use super::*;

    /// What a refusal names: the field, the value, and the bound.
    pub(in crate::http) fn invalid<T>(parsed: Result<T, Failure>) -> (String, String, String) {
        match parsed.err() {
            Some(Failure::Invalid {
                field,
                value,
                bound,
                ..
            }) => (field.into_owned(), value, bound),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_that_does_not_fit_is_told_by_field_value_and_bound() {
        let (field, value, bound) = invalid(parse::<Acquire>(br#"{"wait":5}"#));
        assert_eq!((&*field, &*value), ("wait", "5"));
        assert!(bound.contains("`wait_ms`"), "{bound}");

        let (field, value, bound) = invalid(parse::<Acquire>(br#"{"wait_ms":"5s"}"#));
        assert_eq!((&*field, &*value), ("wait_ms", r#""5s""#));
        assert!(bound.contains("expected u64"), "{bound}");

        let (field, value, _) = invalid(parse::<AddNode>(br#"{"id":4,"api":"x"}"#));
        assert_eq!((&*field, &*value), ("peer", "absent"));

        let (field, _, bound) = invalid(parse::<Acquire>(br#"{"wait_ms":1,"wait_ms":2}"#));
        assert_eq!((&*field, &*bound), ("wait_ms", "duplicate field `wait_ms`"));

        for not_an_object in [&b"[]"[..], b"[1]", b"7", b"null", b"\"x\""] {
            let (field, ..) = invalid(parse::<Acquire>(not_an_object));
            assert_eq!(field, "body");
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in [&b"{"[..], b"{}{}", b"wait_ms=5", b"\xff", b"{\"a\":01}"] {
            let parsed = parse::<Acquire>(body);
            assert!(matches!(parsed, Err(Failure::Malformed(_))), "{body:?}");
        }
    }

    #[test]
    fn a_segment_is_decoded_once_and_must_be_text() {
        assert_eq!(decode("a%2Fb%20%C3%A9").unwrap(), "a/b é");
        assert_eq!(decode("a%252F").unwrap(), "a%2F");
        for wrong in ["%", "%2", "%zz", "%ff", "a%+1"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
