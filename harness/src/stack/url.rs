//! URLs as they may be shown.

/// `url` with the password replaced by `***`, wherever one can stand: before the `@`, and as a `password` parameter.
///
/// Works on text, since what can't be parsed must not leak either.
pub fn redact(url: &str) -> String {
    hide_parameter(&hide_user_password(url))
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

/// `?password=…` and `&password=…`.
fn hide_parameter(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for piece in url.split_inclusive(['?', '&']) {
        match piece.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("password") => {
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
        check("app:secret@db", "app:***@db");
        check("postgres://app:se?cret@db/pay", "postgres://app:***@db/pay");
        check("", "");
    }
}
