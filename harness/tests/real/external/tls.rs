//! TLS to PostgreSQL and Redis with an authority of the test's own: believed, and each way of not being believed.

use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::Failed;
use nix::unistd::{Uid, User};
use tokio::process::Command;

use super::{At, SHORT, bare, redis, refuses, sql};
use crate::Case;
use crate::bed::{Bed, check, until};
use crate::tools::{psql, shown};

pub(super) const CASES: &[Case] = &[("external: TLS: right, and by an authority that is not known", briefly)];
pub(super) const NIGHTLY: &[Case] = &[("external: TLS: right, and wrong in each way", in_each_way)];

fn briefly(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let authority = Authority::new().await?;
        let good = authority.issue("localhost", true).await?;
        let stranger = Authority::new().await?;
        let tested = known_or_not(bed, &authority, &good, &stranger).await;
        plain_again(bed).await?;
        tested
    })
}

async fn known_or_not(
    bed: &Bed,
    authority: &Authority,
    good: &Certificate,
    stranger: &Authority,
) -> Result<(), Failed> {
    let at = At::shared(bed);
    let port = free_port()?;
    let host = at.database_url.replace("127.0.0.1", "localhost");
    serve(bed, port, &authority.ca(), good).await?;
    let by = |ca: &Path| {
        let database_url = format!("{host}?sslmode=verify-full&sslrootcert={}", ca.display());
        let at = at.database(&database_url).redis(&format!("rediss://localhost:{port}"));
        at.lanebench(&["stack", "check"])
    };
    let output = by(&authority.ca()).env("LANEBENCH_REDIS_CA", authority.ca()).output().await?;
    check(output.status.success(), shown(&output))?;
    let mut unknown = by(&authority.ca());
    unknown.env("LANEBENCH_REDIS_CA", stranger.ca());
    refuses(unknown, 1, &["authority that is not known here", "--redis-ca"]).await?;
    let mut unknown = by(&stranger.ca());
    unknown.env("LANEBENCH_REDIS_CA", authority.ca());
    refuses(unknown, 1, &["authority that is not known here", "sslrootcert"]).await.map(drop)
}

/// The others go on without.
async fn plain_again(bed: &Bed) -> Result<(), Failed> {
    sql(bed, &["ALTER SYSTEM RESET ssl", "SELECT pg_reload_conf()"]).await?;
    redis(bed, "CONFIG SET tls-port 0").await.map(drop)
}

fn in_each_way(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let authority = Authority::new().await?;
        let (good, other) =
            (authority.issue("localhost", true).await?, authority.issue("elsewhere.example", true).await?);
        let expired = authority.issue("localhost", false).await?;
        let stranger = Authority::new().await?;
        let tested = with_servers(bed, &authority, &good, &other, &expired, &stranger).await;
        plain_again(bed).await?;
        tested
    })
}

async fn with_servers(
    bed: &Bed,
    authority: &Authority,
    good: &Certificate,
    other: &Certificate,
    expired: &Certificate,
    stranger: &Authority,
) -> Result<(), Failed> {
    let at = At::shared(bed);
    let port = free_port()?;
    let host = at.database_url.replace("127.0.0.1", "localhost");
    let database =
        |mode: &str, ca: &Path| at.database(&format!("{host}?sslmode={mode}&sslrootcert={}", ca.display()));
    let cache = at.redis(&format!("rediss://localhost:{port}"));
    let with_ca = |at: &At, ca: &Path, arguments: &[&str]| {
        let mut command = at.lanebench(arguments);
        command.env("LANEBENCH_REDIS_CA", ca);
        command
    };

    serve(bed, port, &authority.ca(), good).await?;
    for mode in ["require", "verify-ca", "verify-full"] {
        database(mode, &authority.ca()).accepted(&[]).await?;
    }
    let output = with_ca(&cache, &authority.ca(), &["stack", "check"]).output().await?;
    check(output.status.success(), shown(&output))?;
    // Whoever checks no certificate needs none; whoever checks has to know the authority.
    at.database(&format!("{host}?sslmode=require")).accepted(&[]).await?;
    let unknown = ["unknown", "authority that is not known here"];
    let says = |hint: &'static str| [unknown[1], hint];
    database("verify-full", &stranger.ca()).refused(&says("sslrootcert")).await?;
    database("verify-ca", &stranger.ca()).refused(&says("sslrootcert")).await?;
    at.database(&format!("{host}?sslmode=verify-full")).refused(&says("sslrootcert")).await?;
    cache.refused(&says("--redis-ca")).await?;
    refuses(with_ca(&cache, &stranger.ca(), &["stack", "check"]), 1, &says("--redis-ca")).await?;
    database("verify-full", Path::new("/nowhere/ca.pem")).refused(&["No such file", "sslrootcert"]).await?;
    refuses(
        with_ca(&cache, Path::new("/nowhere/ca.pem"), &["stack", "check"]),
        1,
        &["/nowhere/ca.pem", "--redis-ca"],
    )
    .await?;
    // TLS where there is none, and none where there is.
    let plain = at.redis_url.replace("redis://", "rediss://");
    at.redis(&plain).refused(&["Redis"]).await?;
    at.redis(&format!("redis://localhost:{port}")).refused(&["Redis", "`rediss://`"]).await?;

    works(bed, &database("verify-full", &authority.ca()).redis(&cache.redis_url), &authority.ca()).await?;

    serve(bed, port, &authority.ca(), other).await?;
    let name = ["not valid for localhost", "elsewhere.example"];
    database("verify-full", &authority.ca()).refused(&[name[0], name[1], "verify-ca"]).await?;
    database("verify-ca", &authority.ca()).accepted(&[]).await?;
    refuses(with_ca(&cache, &authority.ca(), &["stack", "check"]), 1, &name).await?;

    serve(bed, port, &authority.ca(), expired).await?;
    database("verify-full", &authority.ca()).refused(&["has expired", "renew it"]).await?;
    refuses(with_ca(&cache, &authority.ca(), &["stack", "check"]), 1, &["has expired", "renew it"]).await?;
    refuses(worker(&database("verify-full", &authority.ca())), 1, &["store: ", "has expired"]).await.map(drop)
}

/// A comparison whose consumers are here, and one whose consumers are a process: both over TLS alone.
async fn works(bed: &Bed, at: &At, ca: &Path) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    // From now on nobody is let in without.
    sql(bed, &["CREATE ROLE tls_only LOGIN PASSWORD 'tls'", "GRANT CREATE ON DATABASE postgres TO tls_only"])
        .await?;
    let at = at.database(&super::login(&at.database_url, "tls_only", "tls"));
    for place in ["in-process", "process"] {
        let out = scratch.path().join(place);
        let mut compare = at.lanebench(&["compare", "--quiet", "--drain-events", "800", "--worker", place]);
        compare.args(SHORT);
        // Relative, as a user may give it: a worker runs elsewhere, perhaps.
        compare.arg("--redis-ca").arg(ca.file_name().unwrap_or_default());
        compare.current_dir(ca.parent().unwrap_or(Path::new("/"))).arg("--out").arg(&out);
        let watched = async {
            let mut seen = 0;
            until(Duration::from_secs(60), "no session of the run came over TLS", async || {
                let query = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl \
                             JOIN pg_stat_activity USING (pid) WHERE usename = 'tls_only'";
                let counted = psql(bed, query).await?;
                check(counted.ends_with("|0"), format!("sessions with and without TLS: {counted}"))?;
                seen += usize::from(counted != "0|0");
                Ok(seen >= 3)
            })
            .await
        };
        let (output, watched) = tokio::join!(compare.output(), watched);
        let output = output?;
        check(output.status.code() == Some(0), shown(&output))?;
        watched?;
    }
    sql(bed, &["REVOKE CREATE ON DATABASE postgres FROM tls_only", "DROP ROLE tls_only"]).await
}

fn worker(at: &At) -> Command {
    let mut worker = bare(&["worker", "--topic", "__consumer_offsets", "--group", "nobody"]);
    worker
        .env("LANEBENCH_BOOTSTRAP", &at.bootstrap)
        .env("LANEBENCH_DATABASE_URL", &at.database_url)
        .env("LANEBENCH_REDIS_URL", &at.redis_url);
    worker
}

/// Has both servers show this certificate, PostgreSQL on its one port, Redis on another one.
async fn serve(bed: &Bed, port: u16, ca: &Path, certificate: &Certificate) -> Result<(), Failed> {
    let Certificate { file, key } = certificate;
    sql(
        bed,
        &[
            &format!("ALTER SYSTEM SET ssl_cert_file = '{}'", file.display()),
            &format!("ALTER SYSTEM SET ssl_key_file = '{}'", key.display()),
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ],
    )
    .await?;
    let (file, key, ca) = (file.display(), key.display(), ca.display());
    redis(
        bed,
        &format!(
            "CONFIG SET tls-auth-clients no tls-cert-file {file} tls-key-file {key} tls-ca-cert-file {ca} tls-port {port}"
        ),
    )
    .await?;
    until(Duration::from_secs(10), "PostgreSQL does not read its settings again", async || {
        Ok(psql(bed, "SHOW ssl_cert_file").await? == file.to_string() && psql(bed, "SHOW ssl").await? == "on")
    })
    .await?;
    // Each process reads them by itself; the postmaster, which new sessions come from, is the first.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}

fn free_port() -> Result<u16, Failed> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

struct Certificate {
    file: PathBuf,
    key: PathBuf,
}

/// Whoever signs, with a directory of its own that the servers may enter.
struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    async fn new() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
        let authority = Self { directory };
        let mut settings =
            String::from("[ca]\ndefault_ca=d\n[d]\ndefault_md=sha256\npolicy=p\nunique_subject=no\n");
        for (name, file) in [
            ("database", "index"),
            ("serial", "serial"),
            ("new_certs_dir", "."),
            ("certificate", "ca.pem"),
            ("private_key", "ca.key"),
        ] {
            writeln!(settings, "{name}={}", authority.path(file).display())?;
        }
        settings.push_str("[p]\ncommonName=supplied\n");
        std::fs::write(authority.path("settings"), settings)?;
        std::fs::write(authority.path("index"), "")?;
        std::fs::write(authority.path("serial"), "01\n")?;
        authority
            .openssl(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 \
                 -subj /CN=test-authority",
            )
            .await?;
        Ok(authority)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for `name`, valid now or no longer.
    async fn issue(&self, name: &str, valid: bool) -> Result<Certificate, Failed> {
        let stem = format!("{name}-{valid}");
        std::fs::write(self.path("extensions"), format!("subjectAltName=DNS:{name}\n"))?;
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {stem}.key -out {stem}.csr -subj /CN={name}"
        ))
        .await?;
        let dates = if valid { "-days 2" } else { "-startdate 200101000000Z -enddate 200102000000Z" };
        self.openssl(&format!(
            "ca -batch -notext -config settings -extfile extensions -in {stem}.csr -out {stem}.pem {dates}"
        ))
        .await?;
        let certificate =
            Certificate { file: self.path(&format!("{stem}.pem")), key: self.path(&format!("{stem}.key")) };
        // PostgreSQL wants the key to be its own user's and nobody else's; Redis runs as whoever runs this.
        if Uid::effective().is_root()
            && let Some(user) = User::from_name("postgres")?
        {
            chown(&certificate.key, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(certificate)
    }

    async fn openssl(&self, arguments: &str) -> Result<(), Failed> {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split_whitespace()).current_dir(self.directory.path());
        let output = openssl.output().await?;
        check(output.status.success(), format!("openssl {arguments}: {}", shown(&output)))
    }
}
