//! Redis in a container, in memory only.
//!
//! Its password comes by a file that is copied into the container before its start: on the command line it would be in the process
//! table of the whole machine, and the image has no variable for it.

use testcontainers::ImageExt;

use super::project::{Plan, Project};
use crate::stack::ports::Reserved;
use crate::stack::process::Deadline;
use crate::stack::redis::NOTIFY;
use crate::stack::{Component, PartFacts, StackError, checks};

const PORT: u16 = 6379;
const CONFIGURATION: &str = "/lanebench-redis.conf";

/// Starts it and waits until it answers; returns its URL as well.
pub(super) async fn start(
    project: &Project,
    image: &str,
    published: Reserved,
    deadline: Deadline,
) -> Result<(String, PartFacts), StackError> {
    let password = format!("{:032x}", rand::random::<u128>());
    let url = format!("redis://:{password}@127.0.0.1:{}", published.port());
    let plan = Plan { component: Component::Redis, image, port: PORT, published };
    let configure = |request: testcontainers::ContainerRequest<_>| {
        request
            .with_copy_to(CONFIGURATION, configuration(&password).into_bytes())
            .with_cmd(["redis-server", CONFIGURATION])
    };
    project.start(plan, configure).await?;
    let mut facts = project.until_ready(Component::Redis, deadline, || checks::redis(&url)).await?;
    facts.settings.insert("image".to_owned(), image.to_owned());
    Ok((url, facts))
}

/// As on the native stack, and a password: other containers of the machine may reach it.
fn configuration(password: &str) -> String {
    format!(
        "port {PORT}\nsave \"\"\nappendonly no\nnotify-keyspace-events {NOTIFY}\nrequirepass {password}\n"
    )
}
