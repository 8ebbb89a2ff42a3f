//! The native stack's PostgreSQL: a cluster of its own in the scratch directory, as durable as a real one.
//!
//! Password (scram-sha-256) and not trust: a superuser of the database may run programs as the server's user, so on
//! a machine with several users an open port on the loopback would be a way in. The password is random, lives in the
//! scratch directory for the time of `initdb` and is in the URL; it costs a few milliseconds a connection, none a query.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

use super::ports::Reserved;
use super::process::{Deadline, Process, until_ready};
use super::programs::PostgresPrograms;
use super::scratch::Scratch;
use super::{Component, PartFacts, StackError, checks};

/// The superuser of the cluster.
pub(super) const SUPERUSER: &str = "lanebench";

/// A running server.
#[derive(Debug)]
pub(super) struct Postgres {
    pub(super) process: Process,
    pub(super) url: String,
    pub(super) facts: PartFacts,
}

/// Makes the cluster, starts the server and waits until it answers.
pub(super) async fn start(
    programs: &PostgresPrograms,
    scratch: &Scratch,
    port: Reserved,
    deadline: Deadline,
) -> Result<Postgres, StackError> {
    let user = server_user()?;
    let home = scratch.path().join("postgres");
    let (password_file, data) = (home.join("password"), home.join("data"));
    let password = format!("{:032x}", rand::random::<u128>());
    prepare(&home, &password_file, &password, user.as_ref())?;
    let log = scratch.path().join("postgres.log");

    let mut initdb = scratch.command(&programs.initdb);
    as_user(&mut initdb, user.as_ref());
    initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file);
    initdb.args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]);
    // Only the making of the empty cluster goes unsynced; the server syncs every commit.
    initdb.args(["--no-sync", "--no-instructions"]);
    // Upon SIGTERM it ends its present step, removes what it made, and goes.
    Process::spawn(Component::Postgres, initdb, &log, Signal::SIGTERM)?.success(deadline).await?;
    fs::remove_file(&password_file)
        .map_err(|cause| StackError::Scratch { path: password_file.clone(), cause })?;

    let url = format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{}/postgres?sslmode=disable", port.port());
    let mut server = scratch.command(&programs.server);
    as_user(&mut server, user.as_ref());
    server.arg("-D").arg(&data);
    for setting in settings(port.release()) {
        server.arg("-c").arg(setting);
    }
    // SIGQUIT is PostgreSQL's "immediate shutdown": no checkpoint for data that is about to be removed, but its
    // children and its shared memory go, which SIGKILL would leave behind.
    let process = Process::spawn(Component::Postgres, server, &log, Signal::SIGQUIT)?;
    let facts = until_ready(&[&process], deadline, || checks::postgres(&url)).await?;
    Ok(Postgres { process, url, facts })
}

/// What differs from PostgreSQL's defaults, and what must hold whatever the defaults are.
pub(super) const SETTINGS: [&str; 6] = [
    "max_connections=250",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "logging_collector=off",
    "track_commit_timestamp=on",
];

/// Those, and where the server listens.
fn settings(port: u16) -> impl Iterator<Item = String> {
    // No socket file: nobody needs it, and its path may be 107 bytes long at most, which TMPDIR may exceed.
    let listening = ["listen_addresses=127.0.0.1", "unix_socket_directories="];
    listening.into_iter().chain(SETTINGS).map(str::to_owned).chain([format!("port={port}")])
}

/// PostgreSQL refuses to run as root; then it runs as `postgres`, whom Debian's package makes, or as `nobody`.
fn server_user() -> Result<Option<User>, StackError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let known = |name| User::from_name(name).ok().flatten();
    known("postgres").or_else(|| known("nobody")).map(Some).ok_or(StackError::NoServerUser)
}

fn as_user(command: &mut Command, user: Option<&User>) {
    if let Some(user) = user {
        // With a uid given, the standard library drops the supplementary groups of root too.
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

/// Makes the directory and the password file, readable by the server's user and nobody else.
fn prepare(home: &Path, password_file: &Path, password: &str, user: Option<&User>) -> Result<(), StackError> {
    let error = |path: &Path| {
        let path: PathBuf = path.to_owned();
        move |cause| StackError::Scratch { path, cause }
    };
    fs::create_dir(home).map_err(error(home))?;
    fs::set_permissions(home, fs::Permissions::from_mode(0o700)).map_err(error(home))?;
    fs::write(password_file, password).map_err(error(password_file))?;
    if let Some(user) = user {
        for path in [home, password_file] {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(error(path))?;
        }
    }
    Ok(())
}
