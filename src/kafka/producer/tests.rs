//! What a caller relies on, one by one.

use std::time::Duration;

use tokio::sync::oneshot::{self, Receiver};
use tokio::time::timeout;

use super::simulated::{Simulated, Step};
use super::*;

type Sender = oneshot::Sender<Result<Ack, ProduceError>>;

fn small() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 1_000,
        buffer_bytes: 4_000,
        max_record_bytes: 900,
        ..ProducerConfig::default()
    }
}

fn producer(log: &Simulated) -> Producer<Sender> {
    Producer::over(vec![log.clone()], &small()).unwrap()
}

fn message(text: &str) -> Message {
    Message { value: Some(text.as_bytes().to_vec()), ..Message::default() }
}

/// A message whose size on the wire is exactly `bytes`.
fn sized(bytes: usize) -> Message {
    let message =
        Message { value: Some(vec![7; bytes - wire_bytes(&Message::default())]), ..Message::default() };
    assert_eq!(wire_bytes(&message), bytes);
    message
}

async fn send(producer: &Producer<Sender>, message: Message) -> Receiver<Result<Ack, ProduceError>> {
    let (sender, receiver) = oneshot::channel();
    producer.send(message, sender).await.unwrap();
    receiver
}

/// Values of each attempt's batch.
fn batches(log: &Simulated) -> Vec<usize> {
    log.attempts().iter().map(|(batch, _)| batch.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_ack_names_partition_and_offset() {
    let log = Simulated::default();
    let producer = producer(&log);
    let first = send(&producer, message("a")).await;
    let second = send(&producer, message("b")).await;
    assert_eq!(first.await.unwrap().unwrap().origin, crate::kafka::Origin { partition: 0, offset: 0 });
    assert_eq!(second.await.unwrap().unwrap().origin.offset, 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_goes_at_once_then_batches_fill_and_a_full_one_does_not_wait() {
    let config = ProducerConfig { batch_interval: Duration::from_millis(10), ..small() };
    let log = Simulated::default();
    let producer: Producer<Sender> = Producer::over(vec![log.clone()], &config).unwrap();
    for _ in 0..4 {
        drop(send(&producer, message("x")).await);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(batches(&log), [1], "nothing went before the first, and 8 ms are within the interval");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(batches(&log), [1, 3]);

    for _ in 0..3 {
        drop(send(&producer, sized(600)).await);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(batches(&log), [1, 3, 1, 1], "while what waits is more than a batch, it goes at once");
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(batches(&log), [1, 3, 1, 1, 1]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(send(&producer, message("x")).await);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(batches(&log), [1, 3, 1, 1, 1, 1], "whoever comes after a pause waits for nobody");
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_company() {
    let config = ProducerConfig { batch_interval: Duration::from_secs(60), ..small() };
    let log = Simulated::default();
    let producer: Producer<()> = Producer::over(vec![log.clone()], &config).unwrap();
    let flushed =
        async || timeout(Duration::from_secs(1), producer.flush()).await.expect("flushed at once").unwrap();
    producer.send(message("a"), ()).await.unwrap();
    flushed().await;
    producer.send(message("b"), ()).await.unwrap();
    flushed().await;
    assert_eq!(log.records().len(), 2, "long before the interval ends");
    producer.send(message("c"), ()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(log.records().len(), 2, "what comes after the flush waits again");
    timeout(Duration::from_secs(1), producer.close()).await.expect("closing does not wait either").unwrap();
    assert_eq!(log.records().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn back_pressure_bounds_what_is_held() {
    let log = Simulated::new([Step::Silence { written: true }]);
    let producer = producer(&log);
    let mut held = Vec::new();
    while let Ok(receiver) = timeout(Duration::from_millis(1), send(&producer, sized(500))).await {
        held.push(receiver);
        assert!(producer.lanes[0].held_bytes() <= 4_000);
    }
    assert_eq!(held.len(), 8, "4,000 bytes of buffer");
    // The first batch is answered at its second attempt, and there is room again.
    held.push(timeout(Duration::from_secs(20), send(&producer, sized(500))).await.expect("room"));
    producer.flush().await.unwrap();
    assert_eq!(producer.lanes[0].held_bytes(), 0);
    for receiver in held {
        receiver.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_broker_would_take_is_refused_before_the_buffer() {
    let log = Simulated::default();
    let producer = producer(&log);
    let offer = async |partition, message| {
        let (sender, receiver) = oneshot::channel();
        let error = producer.send_to(partition, message, sender).await.unwrap_err();
        let heard = receiver.await.expect("the completion hears it too").unwrap_err();
        assert!(!heard.may_be_in_log());
        assert!(heard.to_string().contains(&error.to_string()), "{heard}");
        error
    };
    assert!(matches!(offer(0, sized(901)).await, SendError::Oversize { bytes: 901, limit: 900 }));
    assert!(matches!(
        offer(1, message("a")).await,
        SendError::NoSuchPartition { partition: 1, partitions: 1 }
    ));
    assert!(matches!(offer(-1, message("a")).await, SendError::NoSuchPartition { .. }));
    let timeless = Message { timestamp_ms: i64::MIN, ..message("a") };
    assert!(matches!(offer(0, timeless).await, SendError::Timestamp { .. }));
    send(&producer, sized(900)).await.await.unwrap().unwrap();
    assert_eq!(log.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_partition_takes_nothing_more() {
    let log = Simulated::new([Step::RefusedForGood]);
    let producer = producer(&log);
    let first = send(&producer, sized(900)).await;
    let behind = send(&producer, sized(900)).await;
    assert!(matches!(first.await.unwrap(), Err(ProduceError::Refused { may_be_in_log: false, .. })));
    assert!(matches!(behind.await.unwrap(), Err(ProduceError::Behind { .. })));
    let (sender, receiver) = oneshot::channel();
    let error = producer.send(message("late"), sender).await.unwrap_err();
    assert!(error.to_string().contains("RefusedForGood"), "the cause is told: {error}");
    assert!(receiver.await.unwrap().is_err());
    assert!(matches!(producer.flush().await, Err(ProduceError::Refused { .. })));
    assert!(producer.close().await.is_err());
    assert_eq!(log.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_stays_silent_fails_at_its_deadline() {
    let log = Simulated::new([Step::Silence { written: false }; 100]);
    let producer = producer(&log);
    let mut waiting = Vec::new();
    while let Ok(receiver) = timeout(Duration::from_millis(1), send(&producer, sized(900))).await {
        waiting.push(receiver);
    }
    let (sender, _) = oneshot::channel();
    // A sender that waits for room hears it as well, instead of waiting for ever.
    let refused = timeout(Duration::from_secs(40), producer.send(sized(900), sender)).await.expect("bounded");
    assert!(matches!(refused, Err(SendError::Failed { .. })));
    let error = waiting.remove(0).await.unwrap().unwrap_err();
    let ProduceError::Expired { waited, attempts, may_be_in_log: true, .. } = error else {
        panic!("{error}")
    };
    assert!(waited <= Duration::from_secs(30) && waited > Duration::from_secs(25), "{waited:?}");
    assert!((6..=7).contains(&attempts), "{attempts} attempts of 5 s");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_producer_completes_all_it_held() {
    let log = Simulated::new([Step::Silence { written: true }]);
    let producer = producer(&log);
    let on_the_way = send(&producer, sized(900)).await;
    let waiting = send(&producer, sized(900)).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(producer);
    assert!(matches!(on_the_way.await.unwrap(), Err(ProduceError::Dropped { may_be_in_log: true })));
    assert!(!waiting.await.unwrap().unwrap_err().may_be_in_log());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_cancelled_completes_too() {
    let log = Simulated::new([Step::Silence { written: true }]);
    let producer = producer(&log);
    for _ in 0..4 {
        drop(send(&producer, sized(900)).await);
    }
    let (sender, receiver) = oneshot::channel();
    assert!(timeout(Duration::from_millis(10), producer.send(sized(900), sender)).await.is_err(), "no room");
    assert!(matches!(receiver.await.unwrap(), Err(ProduceError::Dropped { may_be_in_log: false })));
    producer.flush().await.unwrap();
    assert_eq!(log.records().len(), 5, "four messages, the first of them twice");
}

#[tokio::test(start_paused = true)]
async fn without_a_key_the_partitions_take_turns() {
    let logs: Vec<Simulated> = (0..3).map(|_| Simulated::default()).collect();
    let producer: Producer<()> = Producer::over(logs.clone(), &small()).unwrap();
    for turn in 0..9 {
        assert_eq!(producer.send(message("x"), ()).await.unwrap(), turn % 3);
    }
    let keyed = Message { key: Some(b"order-1".to_vec()), ..message("k") };
    let home = producer.partition_of(Some(b"order-1"));
    assert_eq!(producer.send(keyed, ()).await.unwrap(), home);
    producer.close().await.unwrap();
    assert_eq!(logs.iter().map(|log| log.records().len()).sum::<usize>(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_tasks_keep_the_order_of_each() {
    let log = Simulated::default();
    let producer: Arc<Producer<()>> = Arc::new(Producer::over(vec![log.clone()], &small()).unwrap());
    let mut tasks = JoinSet::new();
    for task in 0..4_u32 {
        let producer = Arc::clone(&producer);
        tasks.spawn(async move {
            for i in 0..200_u32 {
                producer.send(message(&format!("{task} {i:03}")), ()).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    producer.flush().await.unwrap();
    let records: Vec<String> =
        log.records().into_iter().map(|value| String::from_utf8(value).unwrap()).collect();
    assert_eq!(records.len(), 800);
    for task in 0..4 {
        let own: Vec<_> = records.iter().filter(|record| record.starts_with(&task.to_string())).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_an_error_within_the_time_given() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = ProducerConfig { connect_timeout: Duration::from_millis(300), ..ProducerConfig::default() };
    for address in [silent.local_addr().unwrap().to_string(), "no address".to_owned()] {
        let made = Producer::<()>::connect(std::slice::from_ref(&address), "t", 1, config.clone());
        let made = timeout(Duration::from_secs(5), made).await.expect("bounded");
        let Err(error @ ProducerError::Connect { .. }) = made else { panic!("connected to {address}") };
        assert!(error.to_string().contains(&address), "{error}");
    }
}
