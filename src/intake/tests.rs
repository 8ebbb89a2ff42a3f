//! Stories of accepting, with a log in SQLite and a sender that can fail.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::event::PaymentEvent;
use crate::store::payments::contract;
use crate::store::sqlite::{SqliteOptions, SqliteStore};

mod deadline;

/// Keeps what was sent; fails while it is told to.
#[derive(Default)]
struct Wire {
    sent: Mutex<Vec<Message>>,
    broken: AtomicBool,
    slow: AtomicBool,
    /// The key whose messages are never answered.
    stuck: Mutex<Option<String>>,
    /// The key whose messages are refused.
    refused: Mutex<Option<String>>,
}

#[async_trait::async_trait]
impl Sender for Wire {
    async fn send(&self, message: Message) -> Result<Origin, String> {
        while self.slow.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err("the broker is away".into());
        }
        let is = |key: &Mutex<Option<String>>| {
            key.lock().unwrap().as_ref().map(String::as_bytes) == message.key.as_deref()
        };
        if is(&self.stuck) {
            std::future::pending::<()>().await;
        }
        if is(&self.refused) {
            return Err("this one is refused".into());
        }
        let mut sent = self.sent.lock().unwrap();
        sent.push(message);
        Ok(Origin { partition: 0, offset: sent.len() as i64 - 1 })
    }
}

impl Wire {
    fn revisions(&self) -> Vec<Revision> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|m| PaymentEvent::decode(m.value.as_deref()).unwrap().revision).collect()
    }
}

struct Bed {
    wire: Arc<Wire>,
    store: Arc<SqliteStore>,
    _directory: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let store = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).await.unwrap());
        store.prepare_payments().await.unwrap();
        Self { wire: Arc::default(), store, _directory: directory }
    }

    async fn intake(&self, instance: &str) -> Arc<Intake> {
        let config = IntakeConfig {
            topic: "payment-completed".into(),
            instance: instance.into(),
            resend_after: Duration::from_secs(60),
        };
        Intake::open(self.store.clone(), self.wire.clone(), config).await.unwrap()
    }
}

fn asked(order: &str, amount: i64, revision: Option<i64>) -> Asked {
    let raw = Raw {
        order_id: order.into(),
        amount_minor: amount,
        currency: "EUR".into(),
        address: "Hauptstraße 1".into(),
        paid_at_ms: None,
        revision,
    };
    Asked::check(raw).unwrap()
}

async fn accept(intake: &Arc<Intake>, asked: Asked, key: Option<&str>) -> Result<Accepted, IntakeError> {
    let deadline = Instant::now() + Duration::from_millis(500);
    intake.accept(asked, key.map(str::to_owned), deadline, ()).await
}

#[tokio::test]
async fn payments_of_an_order_are_numbered() {
    let bed = Bed::new().await;
    let intake = bed.intake("me").await;
    for revision in 1..=3 {
        let accepted = accept(&intake, asked("o", 10 * i64::from(revision), None), None).await.unwrap();
        assert_eq!((accepted.revision, accepted.replayed), (revision, false));
        assert_eq!(accepted.origin.offset, i64::from(revision) - 1);
    }
    assert_eq!(accept(&intake, asked("p", 1, None), None).await.unwrap().revision, 1);
    assert_eq!(bed.wire.revisions(), [1, 2, 3, 1]);
}

#[tokio::test]
async fn a_key_brings_the_first_answer_again() {
    let bed = Bed::new().await;
    let intake = bed.intake("me").await;
    let first = accept(&intake, asked("o", 1, None), Some("k")).await.unwrap();
    let again = accept(&intake, asked("o", 1, None), Some("k")).await.unwrap();
    assert_eq!(again, Accepted { replayed: true, ..first });
    let other = accept(&intake, asked("o", 2, None), Some("k")).await;
    assert!(matches!(other, Err(IntakeError::KeyReused)), "{other:?}");
    let other = accept(&intake, asked("another", 1, None), Some("k")).await;
    assert!(matches!(other, Err(IntakeError::KeyReused)), "{other:?}");
    assert_eq!(bed.wire.revisions(), [1]);
}

#[tokio::test]
async fn a_key_in_flight_is_waited_for() {
    let bed = Bed::new().await;
    let intake = bed.intake("me").await;
    bed.wire.slow.store(true, Ordering::SeqCst);
    let (first, second) = tokio::join!(accept(&intake, asked("o", 1, None), Some("k")), async {
        sleep(Duration::from_millis(50)).await;
        let waiting = accept(&intake, asked("o", 1, None), Some("k"));
        let release = async {
            sleep(Duration::from_millis(50)).await;
            bed.wire.slow.store(false, Ordering::SeqCst);
        };
        tokio::join!(waiting, release).0
    });
    assert_eq!(second.unwrap(), Accepted { replayed: true, ..first.unwrap() });
    assert_eq!(bed.wire.revisions(), [1]);
}

#[tokio::test]
async fn an_expected_revision_is_the_next_or_a_repetition() {
    let bed = Bed::new().await;
    let intake = bed.intake("me").await;
    let early = accept(&intake, asked("o", 1, Some(2)), None).await;
    assert!(matches!(early, Err(IntakeError::Conflict { expected: 2, next: 1 })), "{early:?}");
    let first = accept(&intake, asked("o", 1, Some(1)), None).await.unwrap();
    accept(&intake, asked("o", 2, Some(2)), None).await.unwrap();
    let again = accept(&intake, asked("o", 1, Some(1)), None).await.unwrap();
    assert_eq!(again, Accepted { replayed: true, ..first });
    let other = accept(&intake, asked("o", 3, Some(1)), None).await;
    assert!(matches!(other, Err(IntakeError::Conflict { expected: 1, next: 3 })), "{other:?}");
}

#[tokio::test]
async fn what_was_not_sent_is_sent_before_anything_later() {
    let bed = Bed::new().await;
    let intake = bed.intake("me").await;
    bed.wire.broken.store(true, Ordering::SeqCst);
    let failed = accept(&intake, asked("o", 1, None), None).await;
    assert!(matches!(failed, Err(IntakeError::Unconfirmed { .. })), "{failed:?}");
    let behind = accept(&intake, asked("o", 2, None), None).await;
    assert!(matches!(behind, Err(IntakeError::Behind { .. } | IntakeError::Late)), "{behind:?}");
    bed.wire.broken.store(false, Ordering::SeqCst);
    let second = accept(&intake, asked("o", 2, None), None).await.unwrap();
    assert_eq!(second.revision, 2, "the one that never was written has no revision");
    assert_eq!(bed.wire.revisions(), [1, 2]);
}

#[tokio::test]
async fn the_next_process_sends_what_the_last_left() {
    let bed = Bed::new().await;
    bed.wire.broken.store(true, Ordering::SeqCst);
    let dying = bed.intake("me").await;
    accept(&dying, asked("o", 1, None), Some("k")).await.unwrap_err();
    bed.wire.broken.store(false, Ordering::SeqCst);

    let other = bed.intake("other").await;
    other.sweep().await.unwrap();
    assert!(bed.wire.revisions().is_empty(), "somebody else's, and young");
    let behind = accept(&other, asked("o", 2, None), None).await;
    assert!(matches!(behind, Err(IntakeError::Behind { .. } | IntakeError::Late)), "{behind:?}");

    let next = bed.intake("me").await;
    next.sweep().await.unwrap();
    next.sweep().await.unwrap();
    assert_eq!((bed.wire.revisions(), next.resent()), (vec![1], 1));
    assert!(accept(&other, asked("o", 1, None), Some("k")).await.unwrap().replayed);
    assert_eq!(accept(&other, asked("o", 2, None), None).await.unwrap().revision, 2);
}

#[tokio::test]
async fn what_anybody_abandoned_is_sent() {
    let bed = Bed::new().await;
    // Written in 2025 and never sent.
    let old = Payment { payload: asked("o", 1, None).event(1, 0).encode(), ..contract::payment("o", 1) };
    assert!(bed.store.keep(&old).await.unwrap());
    let intake = bed.intake("me").await;
    intake.sweep().await.unwrap();
    assert_eq!(bed.wire.revisions(), [1]);
    assert_eq!(bed.wire.sent.lock().unwrap()[0].timestamp_ms, old.accepted_at_ms, "identical");
}

#[tokio::test]
async fn an_order_that_fails_or_hangs_holds_up_no_other() {
    let bed = Bed::new().await;
    bed.wire.broken.store(true, Ordering::SeqCst);
    let dying = bed.intake("me").await;
    for order in ["a", "b", "c", "d"] {
        accept(&dying, asked(order, 1, None), None).await.unwrap_err();
    }
    bed.wire.broken.store(false, Ordering::SeqCst);
    *bed.wire.refused.lock().unwrap() = Some("a".into());
    let next = bed.intake("me").await;
    let failed = next.sweep().await;
    assert!(matches!(failed, Err(IntakeError::Unconfirmed { .. })), "{failed:?}");
    assert_eq!(bed.wire.revisions(), [1, 1, 1], "b, c and d");

    bed.wire.broken.store(true, Ordering::SeqCst);
    for order in ["e", "f"] {
        accept(&dying, asked(order, 1, None), None).await.unwrap_err();
    }
    bed.wire.broken.store(false, Ordering::SeqCst);
    *bed.wire.refused.lock().unwrap() = None;
    *bed.wire.stuck.lock().unwrap() = Some("a".into());
    let hangs = timeout(Duration::from_millis(500), next.sweep()).await;
    assert!(hangs.is_err(), "a has no answer");
    assert_eq!(bed.wire.revisions().len(), 5, "e and f were sent all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_number_one_order_without_gap() {
    let bed = Bed::new().await;
    let intakes = [bed.intake("one").await, bed.intake("two").await];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let intake = Arc::clone(&intakes[n % 2]);
        tasks.spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(20);
            let accepted = intake.accept(asked("o", n as i64 + 1, None), None, deadline, ()).await;
            accepted.unwrap().revision
        });
    }
    let mut revisions = tasks.join_all().await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=40).collect::<Vec<_>>());
    assert_eq!(bed.wire.revisions(), revisions, "in order in the log, each once");
}

#[tokio::test]
async fn a_late_turn_writes_nothing_and_a_client_that_left_is_served() {
    let bed = Bed::new().await;
    let intake = bed.intake("me").await;
    bed.wire.slow.store(true, Ordering::SeqCst);
    let (first, second) =
        tokio::join!(accept(&intake, asked("o", 1, None), None), accept(&intake, asked("o", 2, None), None));
    assert!(matches!(first, Err(IntakeError::Unconfirmed { .. })), "{first:?}");
    assert!(matches!(second, Err(IntakeError::Late)), "{second:?}");
    assert!(!intake.drain(Duration::from_millis(20)).await, "it is still in hand");
    bed.wire.slow.store(false, Ordering::SeqCst);
    assert!(intake.drain(Duration::from_secs(5)).await);
    assert_eq!(bed.wire.revisions(), [1]);
}

#[tokio::test]
async fn a_table_serves_one_topic() {
    let bed = Bed::new().await;
    accept(&bed.intake("me").await, asked("o", 1, None), None).await.unwrap();
    let config =
        IntakeConfig { topic: "other".into(), instance: "me".into(), resend_after: Duration::from_secs(60) };
    let refused = Intake::open(bed.store.clone(), bed.wire.clone(), config).await.err().unwrap();
    assert!(matches!(refused, OpenError::OtherTopic { .. }), "{refused}");
}
