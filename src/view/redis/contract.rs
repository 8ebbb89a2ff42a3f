//! What [`RedisView`] must hold beyond [`crate::view::contract`]: its script, its blame, its reconnecting.
//!
//! Each check is given the URL of a server with all rights, works under a prefix of its own, and clears it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::{RedisTimeouts, RedisView};
use crate::frozen::Frozen;
use crate::view::contract::{a_call_ends_as_unavailable_within, a_write_succeeds_within, entry};
use crate::view::{Put, StatusView, ViewError};

/// A check of one server.
pub type Check = for<'a> fn(&'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Every check that needs no more than a server's URL, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("a_forgotten_script_is_loaded_again", |url| Box::pin(a_forgotten_script_is_loaded_again(url))),
    ("a_key_of_another_kind_is_unusable", |url| Box::pin(a_key_of_another_kind_is_unusable(url))),
    ("a_missing_right_or_login_is_unusable", |url| Box::pin(a_missing_right_or_login_is_unusable(url))),
    ("a_lost_connection_is_made_anew", |url| Box::pin(a_lost_connection_is_made_anew(url))),
    ("a_prefix_is_no_pattern", |url| Box::pin(a_prefix_is_no_pattern(url))),
    ("nobody_listening_is_unavailable", |_| Box::pin(nobody_listening_is_unavailable())),
    ("the_version_is_told", |url| Box::pin(the_version_is_told(url))),
];

async fn connected(url: &str, prefix: &str) -> RedisView {
    RedisView::connect(url, prefix, RedisTimeouts::default()).await.expect("the view connects")
}

/// A command beside the view.
async fn run(url: &str, command: &str) {
    let client = redis::Client::open(url).expect("the URL is one");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a second client connects");
    let mut words = command.split(' ');
    let mut sent = redis::cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        sent.arg(word);
    });
    sent.exec_async(&mut connection).await.unwrap_or_else(|error| panic!("{command}: {error}"));
}

#[track_caller]
fn unusable<T: std::fmt::Debug>(got: Result<T, ViewError>, named: &str) {
    match got {
        Err(ViewError::Unusable(told)) => assert!(told.contains(named), "{named} is not in: {told}"),
        other => panic!("{named}: {other:?}"),
    }
}

/// A restarted server knows no script.
///
/// # Panics
/// Where the view does otherwise; so for every check here.
pub async fn a_forgotten_script_is_loaded_again(url: &str) {
    let view = connected(url, "contract:script:").await;
    for revision in [1, 2] {
        run(url, "SCRIPT FLUSH SYNC").await;
        let put = view.put_if_newer(&entry("o-1", revision)).await.expect("the view is written");
        assert_eq!(put, Put { revision, was_there: revision > 1 });
    }
    run(url, "SCRIPT FLUSH SYNC").await;
    let written = [entry("o-1", 1), entry("o-2", 3)];
    let puts = view.put_all_if_newer(&written).await.expect("the view is written");
    // Whether they were there can't be told: the first of them may have been written by an attempt of which the rest was refused.
    let told = |revision| Put { revision, was_there: false };
    assert_eq!(puts, [told(2), told(3)]);
    let puts = view.put_all_if_newer(&written).await.expect("the view is written");
    assert_eq!(puts, [2, 3].map(|revision| Put { revision, was_there: true }));
    view.clear().await.expect("the view is cleared");
}

/// Someone else's keys under our prefix are neither read as statuses nor written over.
pub async fn a_key_of_another_kind_is_unusable(url: &str) {
    let view = connected(url, "contract:kind:").await;
    run(url, "SET contract:kind:delivery:o-1 text").await;
    unusable(view.put_if_newer(&entry("o-1", 1)).await, "WRONGTYPE");
    unusable(view.get(&[entry("o-1", 1).order_id]).await, "WRONGTYPE");

    run(url, "HSET contract:kind:delivery:o-2 revision many status AMENDED").await;
    unusable(view.put_if_newer(&entry("o-2", 1)).await, "WRONGTYPE");
    unusable(view.get(&[entry("o-2", 1).order_id]).await, "");

    run(url, "HSET contract:kind:delivery:o-3 revision 1 status LOST").await;
    unusable(view.get(&[entry("o-3", 1).order_id]).await, "LOST");
    view.clear().await.expect("the view is cleared");
}

/// A role that may not write, a wrong password, and a URL that is none.
pub async fn a_missing_right_or_login_is_unusable(url: &str) {
    run(url, "ACL SETUSER contract-reader on >secret ~* +@read +@connection +evalsha +script").await;
    let as_user = |login: &str| url.replacen("redis://", &format!("redis://{login}@"), 1);
    let reader = connected(&as_user("contract-reader:secret"), "contract:right:").await;
    assert_eq!(reader.get(&[entry("o-1", 1).order_id]).await.expect("reading is allowed"), [None]);
    unusable(reader.put_if_newer(&entry("o-1", 1)).await, "");

    let wrong = as_user("contract-reader:wrong");
    unusable(RedisView::connect(&wrong, "", RedisTimeouts::default()).await.map(drop), "");
    run(url, "ACL DELUSER contract-reader").await;
    unusable(RedisView::connect("no url", "", RedisTimeouts::default()).await.map(drop), "");
}

/// The server ends the connection: one call fails at most.
pub async fn a_lost_connection_is_made_anew(url: &str) {
    let view = connected(url, "contract:lost:").await;
    let id: u64 = view
        .connection
        .call(
            |mut connection| async move { redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await },
        )
        .await
        .expect("the server tells the connection's id");
    run(url, &format!("CLIENT KILL ID {id}")).await;
    a_write_succeeds_within(&view, "o-1", Duration::from_secs(1)).await;
    view.clear().await.expect("the view is cleared");
}

/// What a prefix has of a pattern's characters stands for itself when the view is cleared.
pub async fn a_prefix_is_no_pattern(url: &str) {
    let (odd, plain) = (connected(url, "contract:*[a]?\\:").await, connected(url, "contract:xax\\:").await);
    crate::view::contract::clear_forgets_its_own_prefix(&odd, &plain).await;
}

/// As a server that is down: try again.
pub async fn nobody_listening_is_unavailable() {
    let got = RedisView::connect("redis://127.0.0.1:1/", "", RedisTimeouts::default()).await;
    assert!(matches!(got, Err(ViewError::Unavailable(_))));
}

/// As the report prints it.
pub async fn the_version_is_told(url: &str) {
    let version = connected(url, "").await.server_version().await.expect("the version is read");
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
}

/// A frozen server (`pid` is its process, on this machine): calls end in time, over the old connection and over a
/// new one, and all goes on when it thaws.
pub async fn a_frozen_server_is_unavailable_in_time(url: &str, pid: i32) {
    let view = connected(url, "contract:frozen:").await;
    let frozen = Frozen::freeze([pid]);
    let timeouts = RedisTimeouts::default();
    let bound = timeouts.connect + timeouts.call + Duration::from_millis(500);
    for _ in ["over the old connection", "over a new one"] {
        a_call_ends_as_unavailable_within(&view, "o-1", bound).await;
    }
    drop(frozen);
    a_write_succeeds_within(&view, "o-1", Duration::from_secs(5)).await;
    view.clear().await.expect("the view is cleared");
}
