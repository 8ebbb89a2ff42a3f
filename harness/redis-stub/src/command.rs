//! What each command does.

use std::sync::atomic::Ordering;

use payment_delivery::view::redis::PUT_IF_NEWER;

use super::Shared;
use super::keys::KeyError;
use super::reply::Replies;

/// Keys that a scan looks at where its client doesn't say.
const SCAN_COUNT: usize = 10;

/// Most keys that a scan looks at.
const SCAN_COUNT_MAX: usize = 10_000;

/// The one script that is known.
#[derive(Debug)]
pub(super) struct Script {
    sha1: String,
}

impl Default for Script {
    fn default() -> Self {
        Self { sha1: redis::Script::new(PUT_IF_NEWER).get_hash().to_owned() }
    }
}

/// Carries out one request of the connection `id`, and appends its answer.
pub(super) fn run(shared: &Shared, id: u64, words: &[&[u8]], replies: &mut Replies) {
    let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    let second = words.get(1).map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    match (name.as_slice(), second.as_slice(), words) {
        (b"PING", _, [_]) => replies.simple("PONG"),
        (b"INFO", ..) => {
            let version = concat!("# Server\r\nredis_version:", env!("CARGO_PKG_VERSION"), "-embedded\r\n");
            replies.bulk(Some(version.as_bytes()));
        }
        (b"CLIENT", b"ID", _) => replies.integer(id),
        (b"CLIENT", b"SETINFO", _) => replies.simple("OK"),
        (b"CLIENT", b"KILL", [_, _, by, id]) if by.eq_ignore_ascii_case(b"ID") => {
            replies.integer(number(id).is_some_and(|id| shared.kill(id)).into());
        }
        (b"SCRIPT", b"FLUSH", _) => {
            shared.loaded.store(false, Ordering::Release);
            replies.simple("OK");
        }
        (b"SCRIPT", b"LOAD", [_, _, text]) if *text == PUT_IF_NEWER.as_bytes() => {
            shared.loaded.store(true, Ordering::Release);
            replies.bulk(Some(shared.script.sha1.as_bytes()));
        }
        (b"EVAL", _, [_, text, b"1", key, rest @ ..]) if *text == PUT_IF_NEWER.as_bytes() => {
            shared.loaded.store(true, Ordering::Release);
            put_if_newer(shared, key, rest, replies);
        }
        (b"SCRIPT", b"LOAD", _) | (b"EVAL", ..) => {
            replies.error("ERR this server knows no script but the view's own");
        }
        (b"EVALSHA", _, [_, sha1, b"1", key, rest @ ..])
            if sha1.eq_ignore_ascii_case(shared.script.sha1.as_bytes())
                && shared.loaded.load(Ordering::Acquire) =>
        {
            put_if_newer(shared, key, rest, replies);
        }
        (b"EVALSHA", ..) => replies.error("NOSCRIPT No matching script. Please use EVAL."),
        (b"HSET", _, [_, key, pairs @ ..]) if !pairs.is_empty() && pairs.len() % 2 == 0 => {
            let pairs = pairs.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            match shared.keys().set_fields(key, pairs) {
                Ok(new) => replies.integer(new as u64),
                Err(error) => refused(&error, key, replies),
            }
        }
        (b"HMGET", _, [_, key, names @ ..]) if !names.is_empty() => {
            match shared.keys().fields(key, names.iter().copied()) {
                Ok(values) => {
                    replies.array(values.len());
                    values.into_iter().for_each(|value| replies.bulk(value));
                }
                Err(error) => refused(&error, key, replies),
            }
        }
        (b"SET", _, [_, key, _]) => {
            shared.keys().set_text(key);
            replies.simple("OK");
        }
        (b"SCAN", _, [_, cursor, options @ ..]) => scan(shared, cursor, options, replies),
        (b"UNLINK", _, [_, keys @ ..]) if !keys.is_empty() => {
            let mut kept = shared.keys();
            replies.integer(keys.iter().filter(|key| kept.remove(key)).count() as u64);
        }
        _ => replies.error(&format!("ERR unknown command '{}'", String::from_utf8_lossy(&name))),
    }
}

/// What `put_if_newer.lua` does, in its words.
fn put_if_newer(shared: &Shared, key: &[u8], arguments: &[&[u8]], replies: &mut Replies) {
    let [revision, status] = arguments else {
        return replies.error("ERR the view's script takes a revision and a status");
    };
    let Some(revision) = number(revision) else {
        return replies.error("ERR the view's script takes a whole number as its revision");
    };
    match shared.keys().put_if_newer(key, revision, status) {
        Ok((now, was_there)) => {
            replies.array(2);
            replies.integer(now);
            replies.integer(was_there.into());
        }
        Err(error) => refused(&error, key, replies),
    }
}

fn scan(shared: &Shared, cursor: &[u8], options: &[&[u8]], replies: &mut Replies) {
    let (mut pattern, mut count): (&[u8], _) = (b"*", SCAN_COUNT);
    for option in options.chunks(2) {
        match option {
            [name, value] if name.eq_ignore_ascii_case(b"MATCH") => pattern = value,
            [name, value] if name.eq_ignore_ascii_case(b"COUNT") => {
                let Some(asked) = number(value).filter(|asked| *asked > 0) else {
                    return replies.error("ERR value is not an integer or out of range");
                };
                count = usize::try_from(asked).unwrap_or(SCAN_COUNT_MAX).min(SCAN_COUNT_MAX);
            }
            _ => return replies.error("ERR syntax error"),
        }
    }
    let Some(cursor) = number(cursor) else {
        return replies.error("ERR invalid cursor");
    };
    let (next, found) = shared.keys().scan(cursor, count, pattern);
    replies.array(2);
    replies.bulk(Some(next.to_string().as_bytes()));
    replies.array(found.len());
    found.iter().for_each(|key| replies.bulk(Some(key)));
}

fn refused(error: &KeyError, key: &[u8], replies: &mut Replies) {
    match error {
        KeyError::WrongKind => {
            replies.error("WRONGTYPE Operation against a key holding the wrong kind of value");
        }
        KeyError::NoRevision => {
            replies.error(&format!("WRONGTYPE {} holds no revision", String::from_utf8_lossy(key)));
        }
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
