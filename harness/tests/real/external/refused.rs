//! Wrong logins, missing rights, and addresses where nobody answers.

use std::net::TcpListener;

use libtest_mimic::Failed;
use tokio::net::{TcpSocket, TcpStream};

use super::{At, SECRET, SECRET_ENCODED, bare, login, redis, refuses, sql};
use crate::Case;
use crate::bed::{Bed, check};
use crate::tools::shown;

pub(super) const CASES: &[Case] = &[
    ("external: PostgreSQL's refusals are told with what changes them", postgres),
    ("external: Redis's refusals are told with what changes them", redis_refuses),
    ("external: a Redis that is full or evicts is named", full_or_evicting),
    ("external: parts that are away are named in time", away),
    ("external: a worker's refusals are told with what changes them", worker),
];

fn postgres(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let at = At::shared(bed);
        sql(
            bed,
            &[
                &format!("CREATE ROLE visitor LOGIN PASSWORD '{SECRET}'"),
                "CREATE ROLE reader LOGIN PASSWORD 'reader'",
                "ALTER ROLE reader SET default_transaction_read_only = on",
                "GRANT CREATE ON DATABASE postgres TO reader",
            ],
        )
        .await?;
        let as_user = |user: &str, password: &str| at.database(&login(&at.database_url, user, password));

        let wrong = as_user("lanebench", SECRET_ENCODED);
        wrong.refused(&["PostgreSQL at postgres://lanebench:***@", "28P01", "DATABASE_PASSWORD"]).await?;
        let visitor = as_user("visitor", SECRET_ENCODED);
        visitor
            .refused(&["permission denied", "42501", "GRANT CREATE ON DATABASE \"postgres\" TO \"visitor\""])
            .await?;
        as_user("reader", "reader").refused(&["25006", "primary"]).await?;
        let elsewhere = at.database_url.replace("/postgres", "/no_such_database");
        at.database(&elsewhere).refused(&["no_such_database", "3D000", "name of a database"]).await?;
        at.database(&format!("{}?sslmode=require", at.database_url)).refused(&["TLS", "`ssl`"]).await?;
        at.database(&format!("{}?sslmode=verify-full&sslrootcert=/nowhere.pem", at.database_url))
            .refused(&["TLS"])
            .await?;

        sql(bed, &["REVOKE CREATE ON DATABASE postgres FROM reader", "DROP ROLE reader", "DROP ROLE visitor"])
            .await
    })
}

fn redis_refuses(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let at = At::shared(bed);
        let all = "+ping +info +scan +evalsha +script|load +hget +hset +hmget +unlink";
        redis(bed, &format!("ACL SETUSER silent on >{SECRET} ~lanebench_* {all} -evalsha")).await?;
        redis(bed, &format!("ACL SETUSER elsewhere on >{SECRET} ~other:* {all}")).await?;
        redis(bed, &format!("ACL SETUSER halfway on >{SECRET} ~lanebench_* {all} -hset")).await?;
        let as_user = |user: &str, password: &str| at.redis(&login(&at.redis_url, user, password));

        as_user("silent", "wrong")
            .refused(&["Redis at redis://silent:***@", "WRONGPASS", "REDIS_PASSWORD"])
            .await?;
        let rule = "ACL SETUSER NAME ~lanebench_* ";
        as_user("silent", SECRET_ENCODED).refused(&["NOPERM", "evalsha", rule]).await?;
        as_user("elsewhere", SECRET_ENCODED).refused(&["NOPERM", rule]).await?;
        // The script may run, but not do what it does.
        as_user("halfway", SECRET_ENCODED).refused(&["can't run this command", rule]).await?;
        let left = redis(bed, "--scan --pattern lanebench_*:check:*").await?;
        check(left.is_empty(), format!("the trial's key is left: {left}"))?;

        redis(bed, "ACL DELUSER silent elsewhere halfway").await?;
        Ok(())
    })
}

fn full_or_evicting(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let at = At::shared(bed);
        redis(bed, "CONFIG SET maxmemory 1").await?;
        let full = at.refused(&["OOM", "raise `maxmemory`"]).await;
        redis(bed, "CONFIG SET maxmemory 104857600 maxmemory-policy allkeys-lru").await?;
        let evicting = at.accepted(&[]).await;
        redis(bed, "CONFIG SET maxmemory 0 maxmemory-policy noeviction").await?;
        full?;
        let told = shown(&evicting?);
        check(told.contains("evicts keys once it holds 104857600 bytes (allkeys-lru)"), told)
    })
}

/// Each part in turn, the others being there: nobody listens, nobody answers, nobody accepts, nobody is called so.
fn away(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let at = At::shared(bed);
        let mute = TcpListener::bind("127.0.0.1:0")?;
        let mute_at = mute.local_addr()?.to_string();
        let full = Full::new().await?;
        // Side by side, since each takes its ten seconds.
        let [closed, nowhere, silent, crowded] =
            ["127.0.0.1:1", "nowhere.invalid:1", &mute_at, &full.address]
                .map(|address| parts_away(&at, address));
        let (closed, nowhere, silent, crowded) = tokio::join!(closed, nowhere, silent, crowded);
        closed.and(nowhere).and(silent).and(crowded)?;
        // All at once take no longer than one.
        at.bootstrap(&mute_at)
            .database(&format!("postgres://{mute_at}/pay"))
            .redis(&format!("redis://{mute_at}"))
            .refused(&["no broker answered at"])
            .await
    })
}

/// Each part at this address, the others being there.
async fn parts_away(at: &At, address: &str) -> Result<(), Failed> {
    let (broker, store, view) = tokio::join!(
        async { at.bootstrap(address).refused(&["no broker answered at", "10 s", address]).await },
        async {
            let url = format!("postgres://app:{SECRET_ENCODED}@{address}/pay");
            at.database(&url).refused(&["no PostgreSQL answered at", "10 s", address]).await
        },
        async {
            let url = format!("redis://app:{SECRET_ENCODED}@{address}");
            at.redis(&url).refused(&["no Redis answered at", "10 s", address]).await
        },
    );
    broker.and(store).and(view)
}

/// An address that drops whoever wants to connect, as a firewall does: its queue is full and nobody serves it.
struct Full {
    address: String,
    _socket: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Full {
    async fn new() -> Result<Self, Failed> {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse()?)?;
        let socket = socket.listen(1)?;
        let address = socket.local_addr()?;
        let mut waiting = Vec::new();
        let limit = std::time::Duration::from_millis(500);
        while let Ok(connected) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
            waiting.push(connected?);
            check(waiting.len() < 100, "its queue is never full")?;
        }
        Ok(Self { address: address.to_string(), _socket: socket, _waiting: waiting })
    }
}

fn worker(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        let at = At::shared(bed);
        let worker = |at: &At| {
            let mut worker = bare(&[
                "worker",
                "--topic",
                &field.topic,
                "--group",
                &field.group,
                "--schema",
                field.schema(),
            ]);
            worker
                .env("LANEBENCH_BOOTSTRAP", &at.bootstrap)
                .env("LANEBENCH_DATABASE_URL", &at.database_url)
                .env("LANEBENCH_REDIS_URL", &at.redis_url);
            worker
        };
        let wrong = at.database(&login(&at.database_url, "lanebench", SECRET_ENCODED));
        refuses(worker(&wrong), 1, &["store: ", "28P01", "docs/external.md"]).await?;
        let wrong = at.redis(&login(&at.redis_url, "nobody", SECRET_ENCODED));
        refuses(worker(&wrong), 1, &["view: ", "docs/external.md"]).await?;
        let full = Full::new().await?;
        let store = at.database(&format!("postgres://app:{SECRET_ENCODED}@{}/pay", full.address));
        let view = at.redis(&format!("redis://app:{SECRET_ENCODED}@{}", full.address));
        let broker = at.bootstrap(&full.address);
        for (away, says) in [(store, "store: "), (view, "view: "), (broker, "no broker answered")] {
            refuses(worker(&away), 1, &[says]).await?;
        }
        Ok(())
    })
}
