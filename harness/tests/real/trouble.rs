//! Trouble: poison, a store and a view that go away, a broker that dies, a log that was cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::consumer::mode::dead_letter::origin_and_reason;
use payment_delivery::kafka::fetch::{OutOfRange, read_all};
use payment_delivery::kafka::producer::Producer;
use payment_delivery::kafka::{Message, Origin};
use payment_delivery::store::DeliveryStore;
use serde_json::json;
use tokio::sync::oneshot;

use crate::Case;
use crate::bed::{Bed, Diary, Done, Field, check, event, evidence, message, until};

pub(crate) const CASES: &[Case] = &[
    ("poison goes to the dead-letter topic and the rest goes on", poison),
    ("poison on each partition of three consumers silences none of them", poison_on_each_partition),
    ("a store that is away pauses the partition and loses nothing", store_away),
    ("a view that is away pauses the partition and is right afterwards", view_away),
    ("an offset that is gone ends the consumer, unless told otherwise", out_of_range),
];

pub(crate) async fn send(field: &Field, message: Message) -> Result<Origin, Failed> {
    let producer = field.producer().await?;
    let (done, outcome) = oneshot::channel();
    producer.send(message, done).await?;
    let origin = outcome.await??.origin;
    producer.close().await?;
    Ok(origin)
}

fn poison(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        send(&field, message(&event("good", 1))).await?;
        let mut garbled = message(&event("garbled", 1));
        garbled.value = Some(b"{ not json".to_vec());
        garbled.headers.push("trace", Some("abc"));
        let garbled_at = send(&field, garbled.clone()).await?;
        let mut unstorable = event("unstorable", 1);
        unstorable.address = "a NUL \0 that PostgreSQL refuses".into();
        let unstorable_at = send(&field, message(&unstorable)).await?;
        send(&field, message(&event("good", 2))).await?;

        let probe = Arc::new(Diary::default());
        let consumer = field.consumer(field.config("one"), field.parts(probe.clone()).await?);
        field.worked_off(Duration::from_secs(30)).await?;
        consumer.stop().await?;
        let rows = field.store().await?.deliveries().await?;
        check(rows.len() == 1 && rows[0].revision == 2, format!("{rows:?}"))?;

        let bootstrap = &field.endpoints.bootstrap;
        let letters =
            read_all(bootstrap, &dead_letter_topic(&field.topic), 0, 0, 2, Duration::from_secs(20)).await?;
        let places: Vec<_> = letters.iter().filter_map(origin_and_reason).collect();
        check(places.len() == 2 && places[0].0 == garbled_at && places[1].0 == unstorable_at, format!("{places:?}"))?;
        check(places[1].1.contains("22"), format!("SQLSTATE class 22 should be named: {}", places[1].1))?;
        let kept = &letters[0].message;
        check(kept.key == garbled.key && kept.value == garbled.value, "key and value should be kept")?;
        check(kept.headers.last("trace") == Some(b"abc"), "headers should be kept")?;
        evidence("poison", &json!({"dead_letters": letters.len(), "reasons": places.iter().map(|p| &p.1).collect::<Vec<_>>()}))
    })
}

/// The topic has three partitions with a consumer each; the dead-letter topic has as many, fewer or more.
fn poison_on_each_partition(bed: &Bed) -> Result<(), Failed> {
    const PARTITIONS: i32 = 3;
    bed.run(async {
        let mut figures = Vec::new();
        for letters in [3, 1, 2, 5] {
            let field = bed.field_with(PARTITIONS, letters).await?;
            let probe = Arc::new(Diary::default());
            let mut consumers = Vec::new();
            for name in ["one", "two", "three"] {
                consumers.push(field.consumer(field.config(name), field.parts(probe.clone()).await?));
            }
            until(Duration::from_secs(30), "not each consumer has a partition", async || {
                let owned = probe.owned.lock().expect("no panic");
                Ok(owned.len() == 3 && owned.values().all(|partitions| partitions.len() == 1))
            })
            .await?;

            // On each partition: poison with a key, poison without one, and a good event behind them.
            let producer = field.producer().await?;
            let (mut poison, mut good) = (Vec::new(), Vec::new());
            for partition in 0..PARTITIONS {
                for key in [Some(b"bad".to_vec()), None] {
                    let value = Some(format!("no event, on {partition}").into_bytes());
                    let message = Message { key, value, ..message(&event("any", 1)) };
                    poison.push(sent(&producer, partition, message).await?);
                }
                let event = event(&format!("good-{partition}"), 1);
                good.push(sent(&producer, partition, message(&event)).await?);
            }
            producer.close().await?;
            let begun = Instant::now();
            let store = field.store().await?;
            until(Duration::from_secs(20), "a good event behind poison is not delivered", async || {
                Ok(store.deliveries().await?.len() == good.len())
            })
            .await?;
            let delivered_after = begun.elapsed();
            field.worked_off(Duration::from_secs(20)).await?;
            for consumer in consumers {
                consumer.stop().await?;
            }

            let topic = dead_letter_topic(&field.topic);
            let mut found = Vec::new();
            for (partition, end) in field.admin.end_offsets(&topic).await? {
                let within = Duration::from_secs(20);
                for letter in read_all(&field.endpoints.bootstrap, &topic, partition, 0, end, within).await? {
                    let (origin, _) = origin_and_reason(&letter).ok_or("a letter without its origin")?;
                    let same = origin.partition >= letters || partition == origin.partition;
                    check(same, format!("{origin} lies on partition {partition} of {letters}"))?;
                    found.push(origin);
                }
            }
            found.sort_unstable();
            check(found == poison, format!("{letters} partitions: {found:?}, not {poison:?}"))?;
            figures.push(json!({"partitions": PARTITIONS, "consumers": 3, "dead_letter_partitions": letters,
                "poison": poison.len(), "dead_letters": found.len(), "good_behind": good.len(),
                "delivered_after_ms": delivered_after.as_millis() as u64}));
        }
        evidence("poison-on-each-partition", &json!(figures))
    })
}

/// Where a message lies once it is acknowledged.
async fn sent(producer: &Producer<Done>, partition: i32, message: Message) -> Result<Origin, Failed> {
    let (done, outcome) = oneshot::channel();
    producer.send_to(partition, message, done).await?;
    Ok(outcome.await??.origin)
}

/// Stops processes for `time`, then lets them go on, whatever happens meanwhile.
pub(crate) struct Frozen(Vec<u32>);

impl Frozen {
    pub(crate) fn new(pids: Vec<u32>) -> Self {
        for &pid in &pids {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGSTOP);
        }
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for &pid in &self.0 {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGCONT);
        }
    }
}

fn store_away(bed: &Bed) -> Result<(), Failed> {
    let postmaster = bed.stack.pids().postgres.ok_or("no PostgreSQL")?;
    away(bed, "store", move || lanebench::measure::resources::descendants(postmaster))
}

fn view_away(bed: &Bed) -> Result<(), Failed> {
    let redis = bed.stack.pids().redis.ok_or("no Redis")?;
    away(bed, "view", move || vec![redis])
}

/// Freezes a part for 8 s, longer than a session, in the middle of the work: the consumer keeps its membership and goes
/// on afterwards.
fn away(bed: &Bed, part: &'static str, pids: impl Fn() -> Vec<u32>) -> Result<(), Failed> {
    const ORDERS: u32 = 400;
    bed.run(async {
        let field = bed.field(1).await?;
        let acked = field.produce(ORDERS, 1..=5).await?;
        let probe = Arc::new(Diary::default());
        let consumer = field.consumer(field.config("one"), field.parts(probe.clone()).await?);
        until(Duration::from_secs(30), "it did not work", async || Ok(probe.count() > 50)).await?;
        let frozen = Frozen::new(pids());
        let generation = field.admin.group_members(&field.group).await?.members;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let meanwhile = probe.count();
        let members = field.admin.group_members(&field.group).await?.members;
        check(meanwhile < acked.len(), "it should not have been done before the part went away")?;
        drop(frozen);
        check(members == generation, "it should have stayed a member throughout")?;
        field.worked_off(Duration::from_secs(60)).await?;
        consumer.stop().await?;
        let retried = probe.retried.lock().expect("no panic").get(part).copied().unwrap_or(0);
        check(retried > 0, format!("attempts on the {part} should have failed"))?;
        let rows = field.store().await?.deliveries().await?;
        let whole = rows.len() == ORDERS as usize && rows.iter().all(|r| r.revision == 5 && r.applied == 5);
        check(whole, "every order should be at revision 5, applied 5 times")?;
        let ids: Vec<_> = rows.iter().map(|row| row.order_id.clone()).collect();
        let parts = field.parts(probe.clone()).await?;
        let shown = parts.view.get(&ids).await?;
        check(shown.iter().flatten().filter(|e| e.revision == 5).count() == ids.len(), "every view at revision 5")?;
        evidence(
            &format!("{part}-away"),
            &json!({"frozen_s": 8, "failed_attempts": retried, "events": acked.len(), "lost": 0, "membership_kept": true}),
        )
    })
}

fn out_of_range(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        field.produce(40, 1..=1).await?;
        let probe = Arc::new(Diary::default());
        let first = field.consumer(field.config("first"), field.parts(probe.clone()).await?);
        field.worked_off(Duration::from_secs(30)).await?;
        first.stop().await?;
        // The topic is made anew, shorter: the committed offset is beyond its end.
        field.admin.delete_topic(&field.topic).await?;
        field.admin.create_topic(&field.topic, 1, 3, &[]).await?;
        let group = payment_delivery::kafka::group::GroupConfig::new(&field.group, "committer");
        let mut member = payment_delivery::kafka::group::Member::new(
            field.endpoints.bootstrap.clone(),
            field.topic.clone(),
            group,
        );
        member.join().await?;
        member.offsets().commit(&[(0, 40)].into()).await?;
        member.leave().await;
        field.produce(5, 2..=2).await?;

        let strict = field.consumer(field.config("strict"), field.parts(probe.clone()).await?);
        let ended = strict.ended(Duration::from_secs(30)).await?;
        let told = ended.err().map(|e| e.to_string()).unwrap_or_default();
        check(told.contains("out of range"), format!("the reason should be told: {told:?}"))?;

        let mut config = field.config("lenient");
        config.fetch.on_out_of_range = OutOfRange::Earliest;
        let lenient = field.consumer(config, field.parts(probe.clone()).await?);
        field.worked_off(Duration::from_secs(30)).await?;
        lenient.stop().await?;
        let skipped = probe.skipped.lock().expect("no panic").clone();
        check(skipped == [(0, 5, 40)], format!("the missing range should be told: {skipped:?}"))
    })
}
