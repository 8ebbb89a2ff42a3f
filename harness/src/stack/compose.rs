//! The stack of `docker-compose.yml` as it is seen from the host: where its parts are published, by the variables and defaults of
//! that file, with which a test compares the ones below.

use std::fmt::Write as _;

use super::Endpoints;

/// What is published, and how one gets in, where no variable says otherwise.
const DEFAULTS: [(&str, &str); 9] = [
    ("LANEBENCH_KAFKA_1_PORT", "19092"),
    ("LANEBENCH_KAFKA_2_PORT", "19093"),
    ("LANEBENCH_KAFKA_3_PORT", "19094"),
    ("LANEBENCH_POSTGRES_PORT", "15432"),
    ("LANEBENCH_POSTGRES_USER", "lanebench"),
    ("LANEBENCH_POSTGRES_PASSWORD", "for-development-only"),
    ("LANEBENCH_POSTGRES_DB", "lanebench"),
    ("LANEBENCH_REDIS_PORT", "16379"),
    ("LANEBENCH_REDIS_PASSWORD", "for-development-only"),
];

/// A variable that compose could not make anything of either.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is {value:?}, which is no port")]
pub struct NoPort {
    /// The variable.
    pub name: &'static str,
    /// What it is said to be.
    pub value: String,
}

/// Where the parts answer; `value_of` looks a variable up, and an empty one counts as absent, as it does for compose.
///
/// # Errors
/// [`NoPort`] for the first variable of a port that isn't one.
pub fn endpoints(value_of: impl Fn(&str) -> Option<String>) -> Result<Endpoints, NoPort> {
    let of = |name: &str| {
        let default = DEFAULTS.iter().find(|(known, _)| *known == name).map_or("", |(_, default)| default);
        value_of(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    let port = |name: &'static str| {
        let value = of(name);
        value.parse::<u16>().ok().filter(|port| *port > 0).ok_or(NoPort { name, value })
    };
    let bootstrap = ["LANEBENCH_KAFKA_1_PORT", "LANEBENCH_KAFKA_2_PORT", "LANEBENCH_KAFKA_3_PORT"]
        .into_iter()
        .map(|name| Ok(format!("127.0.0.1:{}", port(name)?)))
        .collect::<Result<_, _>>()?;
    Ok(Endpoints {
        bootstrap,
        database_url: format!(
            "postgres://{}:{}@127.0.0.1:{}/{}",
            encoded(&of("LANEBENCH_POSTGRES_USER")),
            encoded(&of("LANEBENCH_POSTGRES_PASSWORD")),
            port("LANEBENCH_POSTGRES_PORT")?,
            encoded(&of("LANEBENCH_POSTGRES_DB")),
        ),
        redis_url: format!(
            "redis://:{}@127.0.0.1:{}",
            encoded(&of("LANEBENCH_REDIS_PASSWORD")),
            port("LANEBENCH_REDIS_PORT")?,
        ),
    })
}

/// As a part of a URL (RFC 3986: all but unreserved characters), which is then also one word of a shell.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FILE: &str = include_str!("../../../docker-compose.yml");

    #[test]
    fn without_variables_it_is_what_compose_publishes() {
        let found = endpoints(|_| None).unwrap();
        assert_eq!(found.bootstrap, ["127.0.0.1:19092", "127.0.0.1:19093", "127.0.0.1:19094"]);
        assert_eq!(found.database_url, "postgres://lanebench:for-development-only@127.0.0.1:15432/lanebench");
        assert_eq!(found.redis_url, "redis://:for-development-only@127.0.0.1:16379");
    }

    #[test]
    fn the_defaults_are_those_of_the_file() {
        for (name, default) in DEFAULTS {
            let uses: Vec<&str> = FILE.split(&format!("${{{name}")).skip(1).collect();
            assert!(!uses.is_empty(), "the file knows no {name}");
            for said in uses {
                assert!(said.starts_with(&format!(":-{default}}}")), "{name}: {said:.40}");
            }
        }
    }

    #[test]
    fn the_example_of_an_env_file_lists_every_variable_with_its_default() {
        let example = include_str!("../../../.env.example");
        let listed: BTreeSet<&str> = example.lines().map(|line| line.trim_start_matches('#')).collect();
        for said in FILE.split("${").skip(1) {
            let (variable, _) = said.split_once('}').unwrap();
            let line = variable.replacen(":-", "=", 1);
            assert!(listed.contains(line.as_str()), ".env.example has no {line}");
        }
    }

    #[test]
    fn everything_is_published_on_the_loopback_interface_alone() {
        let ports: Vec<&str> = FILE.lines().filter(|line| line.trim_start().starts_with("ports:")).collect();
        assert_eq!(ports.len(), 8, "{ports:#?}");
        assert!(ports.iter().all(|line| line.trim_start().starts_with("ports: [\"127.0.0.1:")), "{ports:#?}");
    }

    #[test]
    fn a_variable_comes_before_its_default_unless_it_is_empty() {
        let found = endpoints(|name| match name {
            "LANEBENCH_KAFKA_2_PORT" => Some("9".to_owned()),
            "LANEBENCH_POSTGRES_PASSWORD" => Some("a b/@é$".to_owned()),
            "LANEBENCH_REDIS_PASSWORD" => Some(String::new()),
            _ => None,
        })
        .unwrap();
        assert_eq!(found.bootstrap[1], "127.0.0.1:9");
        assert!(found.database_url.contains(":a%20b%2F%40%C3%A9%24@"), "{}", found.database_url);
        assert!(found.redis_url.contains(":for-development-only@"), "{}", found.redis_url);
    }

    #[test]
    fn what_is_no_port_is_named() {
        for value in ["0", "65536", "http", "-1"] {
            let refused = endpoints(|name| (name == "LANEBENCH_REDIS_PORT").then(|| value.to_owned()));
            assert_eq!(
                refused.unwrap_err(),
                NoPort { name: "LANEBENCH_REDIS_PORT", value: value.to_owned() }
            );
        }
    }
}
