//! The parser against a well-kept crate on what is valid, and against everything else alone.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use super::request;
use crate::cache::resp::{Parser, ProtocolError, Step};

type Words = Vec<Vec<u8>>;

/// What a parser makes of input that arrives in pieces that end at `cuts`.
fn parsed(input: &[u8], cuts: &[usize]) -> Result<Vec<Words>, ProtocolError> {
    let mut parser = Parser::default();
    let (mut start, mut requests) = (0, Vec::new());
    for end in cuts.iter().copied().chain([input.len()]) {
        loop {
            let seen = &input[start..end];
            match parser.step(seen)? {
                Step::Incomplete => break,
                Step::Nothing(length) => start += length,
                Step::Command(length) => {
                    let args = parser.args(&seen[..length]);
                    requests.push(args.iter().map(<[u8]>::to_vec).collect());
                    start += length;
                }
            }
        }
    }
    Ok(requests)
}

fn decoded(mut input: &[u8]) -> Vec<Words> {
    let mut requests = Vec::new();
    while let Some((frame, length)) = decode(input).unwrap() {
        let OwnedFrame::Array(words) = frame else {
            panic!("{frame:?} is no request");
        };
        let word = |frame| match frame {
            OwnedFrame::BulkString(word) => word,
            other => panic!("{other:?} is no word"),
        };
        requests.push(words.into_iter().map(word).collect());
        input = &input[length..];
    }
    requests
}

fn random_request(random: &mut StdRng) -> Vec<u8> {
    let words: Words = (0..random.random_range(1..6))
        .map(|_| {
            let length = [0, 1, 3, 9, 700][random.random_range(0..5)];
            (0..length)
                .map(|_| b"\r\n$*a0-\xff"[random.random_range(0..8)])
                .collect()
        })
        .collect();
    request(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn random_cuts(random: &mut StdRng, length: usize) -> Vec<usize> {
    let mut cuts: Vec<_> = (0..random.random_range(0..8))
        .map(|_| random.random_range(0..=length))
        .collect();
    cuts.sort_unstable();
    cuts
}

/// Longer by hand: `LOCKRING_FUZZ_ROUNDS=10000000 cargo test --release cache::tests::parser`.
fn rounds() -> Option<u64> {
    std::env::var("LOCKRING_FUZZ_ROUNDS").ok()?.parse().ok()
}

#[test]
fn valid_requests_are_read_as_the_crate_reads_them_however_they_are_cut() {
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..rounds().unwrap_or(1_000) {
        let count = random.random_range(1..5);
        let input: Vec<u8> = (0..count)
            .flat_map(|_| random_request(&mut random))
            .collect();
        let cuts = random_cuts(&mut random, input.len());
        assert_eq!(
            parsed(&input, &cuts).unwrap(),
            decoded(&input),
            "round {round}"
        );
    }
}

#[test]
fn garbage_is_refused_or_awaited_and_cuts_change_nothing() {
    let seed = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..rounds().unwrap_or(3_000) {
        let mut input: Vec<u8> = (0..3).flat_map(|_| random_request(&mut random)).collect();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..input.len());
            match random.random_range(0..3) {
                0 => input[at] = random.random(),
                1 => input.truncate(at.max(1)),
                _ => input.insert(at, b"*$-0123456789\r\n\"'"[random.random_range(0..17)]),
            }
        }
        let cuts = random_cuts(&mut random, input.len());
        let (whole, pieces) = (parsed(&input, &[]), parsed(&input, &cuts));
        assert_eq!(
            whole, pieces,
            "seed {seed}, round {round}, {input:?} cut at {cuts:?}"
        );
    }
}

#[test]
fn what_is_announced_makes_no_room() {
    let mut parser = Parser::default();
    assert_eq!(
        parser.step(b"*1048576\r\n$16777216\r\n"),
        Ok(Step::Incomplete)
    );
    assert!(std::mem::size_of_val(&parser) < 200);
    for (input, error) in [
        ("*1048577\r\n", ProtocolError::Words),
        ("*x\r\n", ProtocolError::Words),
        ("*99999999999999999999\r\n", ProtocolError::Words),
        ("*1\r\n$16777217\r\n", ProtocolError::Bulk),
        ("*1\r\n$-1\r\n", ProtocolError::Bulk),
        ("*1\r\n*1\r\n", ProtocolError::NoBulk(b'*')),
        ("*1\r\n$1\r\nab\r\n", ProtocolError::Unended),
        ("get \"a\r\n", ProtocolError::Quotes),
    ] {
        assert_eq!(parsed(input.as_bytes(), &[]), Err(error), "{input:?}");
    }
    assert_eq!(parsed(&[b'a'; 70_000], &[]), Err(ProtocolError::Inline));
    assert_eq!(
        parsed(&[b"*", [b'1'; 70_000].as_slice()].concat(), &[]),
        Err(ProtocolError::WordsLine)
    );
    assert_eq!(
        parsed(b"*0\r\n*-7\r\n\r\nping\r\n", &[]),
        Ok(vec![vec![b"ping".to_vec()]])
    );
}

/// A request that arrives byte by byte is not looked at from its beginning each time: if it were,
/// this would take minutes.
#[test]
fn many_words_in_many_pieces_take_linear_time() {
    let words = vec![b"word".as_slice(); 100_000];
    let input = request(&words);
    let cuts: Vec<_> = (0..input.len()).step_by(7).collect();
    assert_eq!(parsed(&input, &cuts).unwrap()[0].len(), words.len());
}
