//! A member against a coordinator that misbehaves on purpose.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use tokio::time::{Instant, sleep, timeout};

use super::fake::{Fake, Reply, TOPIC};
use super::{Assignment, Change, CommitError, GroupConfig, GroupError, LostReason, Member, OffsetError};

/// Whether an error is the expected one.
type Check<E> = fn(&E) -> bool;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(5);

fn config() -> GroupConfig {
    GroupConfig {
        // Long enough for a machine that is busy with other things; the test of silence shortens it.
        session_timeout: Duration::from_secs(2),
        rebalance_timeout: Duration::from_millis(100),
        heartbeat_interval: Duration::from_millis(10),
        request_timeout: Duration::from_millis(300),
        ..GroupConfig::new("g", "test")
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it took too long")
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn member_of(fake: &Fake) -> Member {
    Member::new(vec![fake.address.clone()], TOPIC.to_owned(), config())
}

async fn joined() -> (Fake, Member, Assignment) {
    let fake = Fake::start().await;
    let mut member = member_of(&fake);
    let assignment = soon(member.join()).await.unwrap();
    (fake, member, assignment)
}

fn next() -> BTreeMap<i32, i64> {
    BTreeMap::from([(0, 10), (2, 30)])
}

#[tokio::test]
async fn a_member_joins_commits_and_leaves() {
    let (fake, mut member, assignment) = joined().await;
    let member_id = "member-1".to_owned();
    assert_eq!(
        assignment,
        Assignment { generation: 1, member_id: member_id.clone(), partitions: vec![0, 1, 2] }
    );
    assert_eq!(fake.seen(ApiKey::JoinGroup), [String::new(), member_id]);
    let offsets = member.offsets();
    assert_eq!(offsets.commit(&next()).await, Ok(()));
    assert_eq!(fake.committed(), next());
    let expected = BTreeMap::from([(0, Some(10)), (1, None), (2, Some(30))]);
    assert_eq!(offsets.committed(&[0, 1, 2]).await, Ok(expected));
    assert!(timeout(Duration::from_millis(30), member.changed()).await.is_err(), "there was no news");
    member.leave().await;
    assert_eq!(fake.count(ApiKey::LeaveGroup), 1);
    assert_eq!(offsets.commit(&next()).await, Err(CommitError::Lost(LostReason::NotJoined)));
}

#[tokio::test]
async fn passing_trouble_does_not_stop_a_join() {
    for (api, reply) in [
        (ApiKey::Metadata, Reply::Close),
        (ApiKey::FindCoordinator, Reply::Code(15)),
        (ApiKey::FindCoordinator, Reply::Silence),
        (ApiKey::JoinGroup, Reply::Code(14)),
        (ApiKey::JoinGroup, Reply::Code(15)),
        (ApiKey::JoinGroup, Reply::Code(16)),
        (ApiKey::JoinGroup, Reply::Code(25)),
        (ApiKey::JoinGroup, Reply::Code(27)),
        (ApiKey::JoinGroup, Reply::Close),
        (ApiKey::JoinGroup, Reply::Silence),
        (ApiKey::SyncGroup, Reply::Code(14)),
        (ApiKey::SyncGroup, Reply::Code(16)),
        (ApiKey::SyncGroup, Reply::Code(22)),
        (ApiKey::SyncGroup, Reply::Code(25)),
        (ApiKey::SyncGroup, Reply::Code(27)),
        (ApiKey::SyncGroup, Reply::Close),
    ] {
        let fake = Fake::start().await;
        fake.next(api, &[reply, reply]);
        let assignment = soon(member_of(&fake).join()).await;
        assert!(assignment.is_ok_and(|a| a.partitions == [0, 1, 2]), "{api:?} {reply:?}");
    }
}

#[tokio::test]
async fn what_will_not_pass_is_an_error() {
    let refused = |e: &GroupError| matches!(e, GroupError::Refused { .. });
    let forbidden = |e: &GroupError| matches!(e, GroupError::Forbidden { .. });
    let table: [(_, _, Check<GroupError>); 10] = [
        (ApiKey::Metadata, 29, forbidden),
        (ApiKey::FindCoordinator, 30, forbidden),
        (ApiKey::FindCoordinator, 24, refused),
        (ApiKey::JoinGroup, 30, forbidden),
        (ApiKey::JoinGroup, 81, refused),
        (ApiKey::JoinGroup, -1, refused),
        (ApiKey::JoinGroup, 23, |e| matches!(e, GroupError::Inconsistent { .. })),
        (ApiKey::JoinGroup, 26, |e| matches!(e, GroupError::SessionTimeout { .. })),
        (ApiKey::JoinGroup, 82, |e| matches!(e, GroupError::Fenced { .. })),
        (ApiKey::SyncGroup, 30, forbidden),
    ];
    for (api, code, expected) in table {
        let fake = Fake::start().await;
        fake.always(api, Reply::Code(code));
        let error = soon(member_of(&fake).join()).await.unwrap_err();
        assert!(expected(&error), "{api:?} {code}: {error}");
    }
}

#[tokio::test]
async fn a_missing_topic_is_an_error() {
    let fake = Fake::start().await;
    let mut member = Member::new(vec![fake.address.clone()], "missing".to_owned(), config());
    let error = soon(member.join()).await.unwrap_err();
    assert_eq!(error.to_string(), "topic `missing` does not exist");
}

#[tokio::test]
async fn a_member_that_is_not_known_starts_over() {
    let (fake, mut member, _) = joined().await;
    fake.next(ApiKey::JoinGroup, &[Reply::Code(25)]);
    let again = soon(member.join()).await.unwrap();
    assert_eq!(again.member_id, "member-2");
    assert_eq!(fake.seen(ApiKey::JoinGroup), ["", "member-1", "member-1", "", "member-2"]);
}

#[tokio::test]
async fn a_join_that_was_dropped_is_taken_up_again() {
    let fake = Fake::start().await;
    // The first names the member, the second is never answered.
    fake.next(ApiKey::JoinGroup, &[Reply::Code(0), Reply::Silence]);
    let mut member = member_of(&fake);
    tokio::select! {
        _ = member.join() => unreachable!("nobody answers"),
        () = until(|| fake.count(ApiKey::JoinGroup) == 2) => {}
    }
    let assignment = soon(member.join()).await.unwrap();
    assert_eq!(assignment.member_id, "member-1");
    assert_eq!(fake.seen(ApiKey::JoinGroup), ["", "member-1", "member-1"]);
}

#[tokio::test]
async fn who_waits_for_a_frozen_coordinator_goes_to_the_next() {
    for waits_for in [ApiKey::JoinGroup, ApiKey::SyncGroup] {
        let (frozen, next) = (Fake::start().await, Fake::start().await);
        frozen.always(waits_for, Reply::Silence);
        let bootstrap = vec![frozen.address.clone()];
        let config = GroupConfig { rebalance_timeout: Duration::from_secs(600), ..config() };
        let mut member = Member::new(bootstrap, TOPIC.to_owned(), config);
        let joined = tokio::spawn(async move { member.join().await });
        until(|| frozen.count(waits_for) > 0).await;
        frozen.hands_over_to(&next);
        soon(joined).await.unwrap().unwrap();
        assert!(next.count(ApiKey::SyncGroup) > 0, "{waits_for:?}");
    }
}

#[tokio::test]
async fn heartbeats_tell_of_a_rebalance_once_and_go_on() {
    let (fake, mut member, _) = joined().await;
    // `changed` is dropped and called again all the time, as in a select loop.
    let change = soon(async {
        fake.always(ApiKey::Heartbeat, Reply::Code(27));
        loop {
            if let Ok(change) = timeout(Duration::from_millis(1), member.changed()).await {
                return change;
            }
        }
    })
    .await;
    assert_eq!(change, Change::Rebalance);
    let so_far = fake.count(ApiKey::Heartbeat);
    until(|| fake.count(ApiKey::Heartbeat) > so_far + 2).await;
    assert!(timeout(Duration::from_millis(20), member.changed()).await.is_err(), "told twice");
    // A commit while others join is still taken.
    assert_eq!(member.offsets().commit(&next()).await, Ok(()));
    fake.always(ApiKey::Heartbeat, Reply::Code(25));
    assert_eq!(soon(member.changed()).await, Change::Lost(LostReason::UnknownMember));
    assert_eq!(member.offsets().commit(&next()).await, Err(CommitError::Lost(LostReason::UnknownMember)));
}

#[tokio::test]
async fn a_membership_can_be_lost() {
    for (code, reason) in
        [(25, LostReason::UnknownMember), (22, LostReason::IllegalGeneration), (82, LostReason::Fenced)]
    {
        let (fake, mut member, _) = joined().await;
        fake.always(ApiKey::Heartbeat, Reply::Code(code));
        assert_eq!(soon(member.changed()).await, Change::Lost(reason));
        fake.always(ApiKey::Heartbeat, Reply::Code(0));
        assert!(soon(member.join()).await.is_ok());
    }
}

#[tokio::test]
async fn passing_trouble_with_heartbeats_is_no_news() {
    for reply in [Reply::Close, Reply::Code(14), Reply::Code(15), Reply::Code(16), Reply::Silence] {
        let (fake, mut member, _) = joined().await;
        fake.next(ApiKey::Heartbeat, &[reply]);
        until(|| fake.count(ApiKey::Heartbeat) > 3).await;
        assert!(timeout(Duration::from_millis(5), member.changed()).await.is_err(), "{reply:?}");
    }
}

#[tokio::test]
async fn silence_for_a_session_is_a_loss_and_not_earlier() {
    let session_timeout = Duration::from_millis(400);
    for reply in [Reply::Silence, Reply::Close, Reply::Code(15)] {
        let fake = Fake::start().await;
        let config = GroupConfig { session_timeout, ..config() };
        let mut member = Member::new(vec![fake.address.clone()], TOPIC.to_owned(), config);
        soon(member.join()).await.unwrap();
        until(|| fake.count(ApiKey::Heartbeat) > 1).await;
        let begin = Instant::now();
        fake.always(ApiKey::Heartbeat, reply);
        let offsets = member.offsets();
        assert_eq!(soon(member.changed()).await, Change::Lost(LostReason::Silence { session_timeout }));
        // The session counts from the last heartbeat that was answered, some time before `begin`.
        assert!(begin.elapsed() > session_timeout / 2, "{reply:?}: {:?}", begin.elapsed());
        let lost = CommitError::Lost(LostReason::Silence { session_timeout });
        assert_eq!(offsets.commit(&next()).await, Err(lost));
        assert_eq!(fake.count(ApiKey::OffsetCommit), 0, "nothing may be sent");
    }
}

#[tokio::test]
async fn a_commit_follows_its_coordinator() {
    for reply in
        [Reply::Code(14), Reply::Code(15), Reply::Code(16), Reply::Code(3), Reply::Close, Reply::Silence]
    {
        let (fake, member, _) = joined().await;
        fake.next(ApiKey::OffsetCommit, &[reply]);
        assert_eq!(member.offsets().commit(&next()).await, Ok(()), "{reply:?}");
        assert_eq!(fake.committed(), next());
    }
}

#[tokio::test]
async fn a_commit_that_fails_says_what_it_means() {
    let table: [(_, Check<CommitError>); 6] = [
        (Reply::Code(27), |e| *e == CommitError::RebalanceInProgress),
        (Reply::Code(22), |e| *e == CommitError::Lost(LostReason::IllegalGeneration)),
        (Reply::Code(25), |e| *e == CommitError::Lost(LostReason::UnknownMember)),
        (Reply::Code(82), |e| *e == CommitError::Lost(LostReason::Fenced)),
        (Reply::Code(29), |e| matches!(e, CommitError::Refused { .. })),
        (Reply::Silence, |e| matches!(e, CommitError::Unavailable(_))),
    ];
    for (reply, expected) in table {
        let (fake, mut member, _) = joined().await;
        fake.always(ApiKey::OffsetCommit, reply);
        let error = soon(member.offsets().commit(&next())).await.unwrap_err();
        assert!(expected(&error), "{reply:?}: {error}");
        // What ends the generation is news for the member too, before the next heartbeat says so.
        let news = timeout(Duration::from_millis(1), member.changed()).await.ok();
        match error {
            CommitError::RebalanceInProgress => assert_eq!(news, Some(Change::Rebalance)),
            CommitError::Lost(reason) => assert_eq!(news, Some(Change::Lost(reason))),
            _ => assert_eq!(news, None),
        }
    }
}

#[tokio::test]
async fn the_offsets_of_an_earlier_generation_are_void() {
    let (fake, mut member, _) = joined().await;
    let before = member.offsets();
    soon(member.join()).await.unwrap();
    assert_eq!(before.commit(&next()).await, Err(CommitError::Lost(LostReason::IllegalGeneration)));
    assert_eq!(before.committed(&[0]).await, Err(OffsetError::Lost(LostReason::IllegalGeneration)));
    assert_eq!(member.offsets().commit(&next()).await, Ok(()));
    assert_eq!(fake.count(ApiKey::OffsetCommit), 1);
}

#[tokio::test]
async fn a_member_that_is_dropped_goes_silent() {
    let (fake, member, _) = joined().await;
    let offsets = member.offsets();
    until(|| fake.count(ApiKey::Heartbeat) > 1).await;
    drop(member);
    sleep(Duration::from_millis(20)).await;
    let so_far = fake.count(ApiKey::Heartbeat);
    sleep(Duration::from_millis(60)).await;
    // One may have been on its way.
    assert!(fake.count(ApiKey::Heartbeat) <= so_far + 1);
    assert_eq!(fake.count(ApiKey::LeaveGroup), 0);
    assert_eq!(offsets.commit(&next()).await, Err(CommitError::Lost(LostReason::NotJoined)));
}

#[tokio::test]
async fn leaving_is_bounded() {
    let (fake, member, _) = joined().await;
    fake.always(ApiKey::LeaveGroup, Reply::Silence);
    soon(member.leave()).await;
    assert!(fake.count(ApiKey::LeaveGroup) > 1, "one attempt only");
}

#[tokio::test]
async fn a_member_with_an_instance_id_leaves_silently() {
    let fake = Fake::start().await;
    let config = GroupConfig { instance_id: Some("one".to_owned()), ..config() };
    let mut member = Member::new(vec![fake.address.clone()], TOPIC.to_owned(), config);
    soon(member.join()).await.unwrap();
    member.leave().await;
    assert_eq!(fake.count(ApiKey::LeaveGroup), 0);
}
