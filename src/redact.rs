//! URLs as they may be shown.

/// Names of parameters that hold a password: PostgreSQL's, and that of a Redis behind a socket file.
const PARAMETERS: [&str; 2] = ["password", "pass"];

/// `url` with the password replaced by `***`, wherever one can stand: before the `@`, and as a parameter of that name.
///
/// Works on text, since what can't be parsed must not leak either.
pub fn redact(url: &str) -> String {
    hide_parameter(&hide_user_password(url))
}

/// Every URL within `text` as [`redact`] shows it: a command line may name several, and end in one.
pub fn redact_all(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "'\"`".contains(c);
    text.split_inclusive(ends)
        .map(|word| if word.contains("://") { redact(word) } else { word.into() })
        .collect()
}

/// Shorter passwords would hide words that are none.
const HIDDEN_BYTES_MIN: usize = 4;

/// The password in `url`, as it is written there and as it is meant, for whoever has to look for it in other texts. One of
/// under four bytes is left out.
pub fn passwords(url: &str) -> Vec<String> {
    let Some((_, rest)) = url.split_once("://") else { return Vec::new() };
    let before = rest.rsplit_once('@').and_then(|(user, _)| Some(user.split_once(':')?.1));
    let parameter = |piece: &'_ str| {
        let (name, value) = piece.split_once('=')?;
        PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)).then(|| value.to_owned())
    };
    let parameters = rest.split(['?', '&']).filter_map(parameter);
    let mut found: Vec<String> = before.map(str::to_owned).into_iter().chain(parameters).collect();
    for at in 0..found.len() {
        let meant = percent_decoded(&found[at]);
        if meant != found[at] {
            found.push(meant);
        }
    }
    found.retain(|password| password.len() >= HIDDEN_BYTES_MIN);
    found
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match code.filter(|_| first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `scheme://user:password@rest`, up to the last `@`: a password may hold any sign, badly encoded.
fn hide_user_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    match rest.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((name, host)) => format!("{scheme}{name}:***@{host}"),
        None => url.to_owned(),
    }
}

/// `?password=…` and `&password=…`, and the like.
fn hide_parameter(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for piece in url.split_inclusive(['?', '&']) {
        match piece.split_once('=') {
            Some((name, value)) if PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) => {
                out.push_str(name);
                out.push_str("=***");
                out.extend(value.chars().next_back().filter(|c| "?&".contains(*c)));
            }
            _ => out.push_str(piece),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(redact(url), expected);
    }

    #[test]
    fn passwords_are_hidden_and_the_rest_is_kept() {
        check(
            "postgres://app:secret@db:5432/pay?sslmode=require",
            "postgres://app:***@db:5432/pay?sslmode=require",
        );
        check("redis://:secret@cache:6379/1", "redis://:***@cache:6379/1");
        check("redis://cache:6379", "redis://cache:6379");
        check("postgres://app@db/pay", "postgres://app@db/pay");
    }

    #[test]
    fn passwords_in_odd_places_are_hidden_too() {
        check("postgres://app:p@ss@db/pay", "postgres://app:***@db/pay");
        check("postgres://db/pay?password=secret&user=app", "postgres://db/pay?password=***&user=app");
        check("postgres://db/pay?user=app&password=secret", "postgres://db/pay?user=app&password=***");
        check("redis+unix:///run/redis.sock?pass=secret&db=1", "redis+unix:///run/redis.sock?pass=***&db=1");
        check("app:secret@db", "app:***@db");
        check("postgres://app:se?cret@db/pay", "postgres://app:***@db/pay");
        check("", "");
    }
    #[test]
    fn a_password_is_found_as_written_and_as_meant() {
        assert_eq!(passwords("postgres://app:s%23cret@db/p"), ["s%23cret", "s#cret"]);
        assert_eq!(passwords("postgres://db/p?user=a&password=s3cret"), ["s3cret"]);
        assert_eq!(passwords("redis+unix:///run/r.sock?pass=100%"), ["100%"]);
        assert!(passwords("redis://:abc@cache").is_empty() && passwords("sqlite:rows.db").is_empty());
    }

    #[test]
    fn a_command_line_keeps_all_but_its_passwords() {
        assert_eq!(
            redact_all("java -Ddb='postgres://a:secret@db/p' --redis=redis://:secret@cache -q"),
            "java -Ddb='postgres://a:***@db/p' --redis=redis://:***@cache -q"
        );
    }
}
