//! What an operator does to others' leases and sessions, and what is kept of why.

use lockring_client::wire;
use lockring_core::{LockName, Reason, limits};

use super::Api;
use super::ask::{Ask, wrong_name};
use super::error::Failure;
use super::reply::Reply;
use super::sessions::closed;

pub(super) async fn revoke(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let lock = ask.lock()?;
    let by = ask.bearer();
    let body: wire::Revoke = ask.json(api.limits().body).await?;
    if body.deadline_ms > limits::REVOKE_MS_MAX {
        let bound = format!("at most {}", limits::REVOKE_MS_MAX);
        let value = body.deadline_ms.to_string();
        return Err(Failure::invalid("deadline_ms", value, bound));
    }
    let reason = reason_of(&body.reason, by)?;
    let service = api.service();
    let answer = service.revoke(lock, reason, body.deadline_ms, key).await?;
    let revoking = wire::Revoking {
        deadline_in_ms: answer.body.deadline_in_ms,
        leases: answer.body.leases,
        replayed: answer.replayed,
    };
    Ok(Reply::json(&revoking).at(answer.revision))
}

/// Named so because `break` is a word of the language.
pub(super) async fn break_now(api: &Api, ask: Ask) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let lock: LockName = ask.lock()?;
    let by = ask.bearer();
    let body: wire::Break = ask.json(api.limits().body).await?;
    let reason = reason_of(&body.reason, by)?;
    let answer = api.service().break_leases(lock, reason, key).await?;
    let broken = wire::Broken {
        leases: answer.body,
        replayed: answer.replayed,
    };
    Ok(Reply::json(&broken).at(answer.revision))
}

/// Ends the session that begins with these eight digits.
pub(super) async fn end_session(api: &Api, ask: Ask, first: u32) -> Result<Reply, Failure> {
    let key = ask.key()?;
    let by = ask.bearer();
    let mut parameters = ask.parameters()?;
    let reason = parameters.text("reason")?;
    parameters.end()?;
    ask.only_parameters(api.limits().body).await?;
    let reason = reason
        .ok_or_else(|| Failure::invalid("reason", "absent", "has to be there: it is recorded"))?;
    let reason = reason_of(&reason, by)?;
    let answer = api.service().end_session(first, reason, key).await?;
    Ok(closed(answer))
}

/// What is recorded: what the operator said, and who that was as far as the node knows, which is
/// by the hash of a token.
fn reason_of(said: &str, by: Option<[u8; 4]>) -> Result<Reason, Failure> {
    let wrong = |error| wrong_name("reason", said, &error);
    Reason::parse(said).map_err(wrong)?;
    let Some([a, b, c, d]) = by else {
        return Reason::parse(said).map_err(wrong);
    };
    let mark = format!(" (token {a:02x}{b:02x}{c:02x}{d:02x})");
    let room = said.floor_char_boundary(limits::REASON_BYTES_MAX - mark.len());
    Reason::parse(&format!("{}{mark}", &said[..room])).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_tells_whose_token_it_was_even_when_it_is_long() {
        let by = Some([0xab, 0, 0xcd, 1]);
        let reason = reason_of("deploy", by).unwrap();
        assert_eq!(reason.as_str(), "deploy (token ab00cd01)");
        let long = "é".repeat(limits::REASON_BYTES_MAX / 2);
        let reason = reason_of(&long, by).unwrap();
        assert!(reason.as_str().ends_with("é (token ab00cd01)"), "{reason}");
        assert_eq!(reason_of(&long, None).unwrap().as_str(), long);
        for wrong in ["", "a\nb"] {
            assert!(reason_of(wrong, by).is_err(), "{wrong:?}");
        }
    }
}
