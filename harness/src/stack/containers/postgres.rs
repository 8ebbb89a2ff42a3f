//! PostgreSQL in a container, as durable as a real one, by the official image's environment.

use testcontainers::ImageExt;

use super::project::{Plan, Project};
use crate::stack::ports::Reserved;
use crate::stack::postgres::{SETTINGS, SUPERUSER};
use crate::stack::process::Deadline;
use crate::stack::{Component, PartFacts, StackError, checks};

const PORT: u16 = 5432;

/// As on the native stack; only the making of the empty cluster goes unsynced.
const INITDB: &str = "--encoding=UTF8 --locale=C --no-sync";

/// Starts it and waits until it answers; returns its URL as well.
pub(super) async fn start(
    project: &Project,
    image: &str,
    published: Reserved,
    deadline: Deadline,
) -> Result<(String, PartFacts), StackError> {
    let password = format!("{:032x}", rand::random::<u128>());
    let url =
        format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{}/postgres?sslmode=disable", published.port());
    let command = ["postgres"].into_iter().chain(SETTINGS.into_iter().flat_map(|setting| ["-c", setting]));
    let plan = Plan { component: Component::Postgres, image, port: PORT, published };
    let configure = |request: testcontainers::ContainerRequest<_>| {
        request
            .with_env_var("POSTGRES_USER", SUPERUSER)
            .with_env_var("POSTGRES_PASSWORD", password)
            .with_env_var("POSTGRES_DB", "postgres")
            .with_env_var("POSTGRES_INITDB_ARGS", INITDB)
            .with_cmd(command)
    };
    project.start(plan, configure).await?;
    // While it makes its cluster it listens on a socket of the container only, so whoever answers here is the real one.
    let mut facts = project.until_ready(Component::Postgres, deadline, || checks::postgres(&url)).await?;
    facts.settings.insert("image".to_owned(), image.to_owned());
    Ok((url, facts))
}
