//! Replies of other members, read only as far as they must be: where one ends, and the few shapes
//! that are taken apart.

use super::request::integer;

/// Arrays within arrays in a reply that we asked for ourselves.
const DEPTH_MAX: u32 = 8;

/// A reply that breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply is not RESP")]
pub(crate) struct NoReply;

/// A reply, taken apart once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    Bulk(&'a [u8]),
    Null,
    /// The elements, still whole.
    Array(&'a [u8]),
}

/// How long the reply at the beginning of `input` is; `None` when it has not all arrived.
pub(crate) fn reply_end(input: &[u8]) -> Result<Option<usize>, NoReply> {
    end_of(input, 0, DEPTH_MAX)
}

fn end_of(input: &[u8], start: usize, depth: u32) -> Result<Option<usize>, NoReply> {
    let Some((kind, line, mut end)) = head(input, start)? else {
        return Ok(None);
    };
    let elements = match kind {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' => return Ok(Some(end)),
        b'$' | b'=' => {
            let length = integer(line).ok_or(NoReply)?;
            let Ok(length) = usize::try_from(length) else {
                return Ok(Some(end));
            };
            let end = end + length + 2;
            return Ok((input.len() >= end).then_some(end));
        }
        b'*' | b'~' | b'>' => integer(line).ok_or(NoReply)?,
        b'%' => integer(line).ok_or(NoReply)?.saturating_mul(2),
        _ => return Err(NoReply),
    };
    let depth = depth.checked_sub(1).ok_or(NoReply)?;
    for _ in 0..elements {
        match end_of(input, end, depth)? {
            Some(next) => end = next,
            None => return Ok(None),
        }
    }
    Ok(Some(end))
}

/// A reply's first line: what it is, what it says, and where the next line begins.
type Head<'a> = (u8, &'a [u8], usize);

fn head(input: &[u8], start: usize) -> Result<Option<Head<'_>>, NoReply> {
    let Some((kind, rest)) = input.get(start..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    let Some(end) = rest.iter().position(|byte| *byte == b'\r') else {
        return Ok(None);
    };
    match rest.get(end + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((*kind, &rest[..end], start + end + 3))),
        Some(_) => Err(NoReply),
    }
}

/// Takes a reply apart that is whole, as [`reply_end`] found it.
pub(crate) fn reply_of(input: &[u8]) -> Result<Reply<'_>, NoReply> {
    let (kind, line, end) = head(input, 0)?.ok_or(NoReply)?;
    let body = &input[end..];
    Ok(match kind {
        b'+' => Reply::Simple(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Integer(integer(line).ok_or(NoReply)?),
        b'_' => Reply::Null,
        b'$' => match usize::try_from(integer(line).ok_or(NoReply)?) {
            Ok(length) => Reply::Bulk(body.get(..length).ok_or(NoReply)?),
            Err(_) => Reply::Null,
        },
        b'*' => match integer(line).ok_or(NoReply)? {
            ..0 => Reply::Null,
            0.. => Reply::Array(body),
        },
        _ => return Err(NoReply),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_where_it_ends_and_not_before() {
        for whole in [
            "+OK\r\n",
            "-ERR x\r\n",
            ":12\r\n",
            "$3\r\na\r\n\r\n",
            "$-1\r\n",
            "_\r\n",
            "*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
            "%1\r\n+a\r\n:1\r\n",
            "*-1\r\n",
            "*0\r\n",
        ] {
            let bytes = whole.as_bytes();
            for cut in 0..bytes.len() {
                assert_eq!(reply_end(&bytes[..cut]), Ok(None), "{whole:?} cut at {cut}");
            }
            let more = [bytes, b"+more"].concat();
            assert_eq!(reply_end(&more), Ok(Some(bytes.len())), "{whole:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        assert_eq!(reply_end(b"GET\r\n"), Err(NoReply));
        assert_eq!(reply_end(b"*x\r\n"), Err(NoReply));
        assert_eq!(reply_end("*1\r\n".repeat(100).as_bytes()), Err(NoReply));
    }

    #[test]
    fn a_reply_is_taken_apart() {
        assert_eq!(reply_of(b"$2\r\nab\r\n"), Ok(Reply::Bulk(b"ab")));
        assert_eq!(reply_of(b"$-1\r\n"), Ok(Reply::Null));
        assert_eq!(reply_of(b":-3\r\n"), Ok(Reply::Integer(-3)));
        assert_eq!(reply_of(b"*1\r\n:1\r\n"), Ok(Reply::Array(b":1\r\n")));
    }
}
