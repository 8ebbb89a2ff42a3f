//! The promise as a law: whatever the partition answers, first occurrences in its log are the messages as they were sent.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::simulated::{Simulated, Step};
use super::*;

/// What was heard of each message, in the order of hearing.
type Heard = Arc<Mutex<Vec<(usize, Result<Ack, ProduceError>)>>>;

struct Note(usize, Heard);

impl Completion for Note {
    fn done(self, result: Result<Ack, ProduceError>) {
        self.1.lock().unwrap().push((self.0, result));
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Ack),
        2 => Just(Step::RefusedForNow),
        2 => any::<bool>().prop_map(|written| Step::Unknown { written }),
        2 => any::<bool>().prop_map(|written| Step::Silence { written }),
        2 => (0..6_usize).prop_map(|after| Step::SilenceThenLate { after }),
        1 => Just(Step::RefusedForGood),
    ]
}

/// Each message: the size of its value and how many milliseconds the sender pauses before it.
fn messages() -> impl Strategy<Value = Vec<(usize, u64)>> {
    prop::collection::vec((8..120_usize, prop_oneof![3 => Just(0), 1 => 0..6_u64]), 1..60)
}

fn value(index: usize, size: usize) -> Vec<u8> {
    let mut value = (index as u64).to_be_bytes().to_vec();
    value.resize(size, 0);
    value
}

fn index(value: &[u8]) -> usize {
    u64::from_be_bytes(value[..8].try_into().unwrap()) as usize
}

fn config() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 500,
        buffer_bytes: 1_500,
        max_record_bytes: 400,
        request_timeout: Duration::from_millis(500),
        delivery_timeout: Duration::from_secs(2),
        ..ProducerConfig::default()
    }
}

/// Sends all messages from one task, flushes, and returns what was heard.
async fn play(log: &Simulated, messages: &[(usize, u64)]) -> Vec<(usize, Result<Ack, ProduceError>)> {
    let heard = Heard::default();
    let producer = Producer::over(vec![log.clone()], &config()).unwrap();
    for (i, (size, pause)) in messages.iter().enumerate() {
        if *pause > 0 {
            tokio::time::sleep(Duration::from_millis(*pause)).await;
        }
        let message = Message { value: Some(value(i, *size)), ..Message::default() };
        // A refusal is also heard by the completion, which is what the law is about.
        let _ = producer.send(message, Note(i, Arc::clone(&heard))).await;
    }
    let _ = producer.close().await;
    Arc::into_inner(heard).expect("every completion was called").into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_later_message_overtakes(messages in messages(), script in prop::collection::vec(step(), 0..40)) {
        let log = Simulated::new(script);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let heard = runtime.block_on(play(&log, &messages));
        let records: Vec<usize> = log.records().iter().map(|value| index(value)).collect();

        // Each completion exactly once, in the order of sending.
        let told: Vec<usize> = heard.iter().map(|(i, _)| *i).collect();
        prop_assert_eq!(told, (0..messages.len()).collect::<Vec<_>>());

        // First occurrences: in the order of sending, with nothing left out.
        let mut seen = HashSet::new();
        let first: Vec<usize> = records.iter().copied().filter(|i| seen.insert(*i)).collect();
        prop_assert_eq!(&first, &(0..first.len()).collect::<Vec<_>>());

        // Acked: in the log, at that offset, and nothing acked after a failure.
        let acked = heard.iter().take_while(|(_, result)| result.is_ok()).count();
        for (i, result) in &heard {
            match result {
                Ok(ack) => {
                    prop_assert!(*i < acked, "message {} was acked after one that failed", i);
                    prop_assert_eq!(records[ack.origin.offset as usize], *i);
                }
                Err(error) => prop_assert!(error.may_be_in_log() || !seen.contains(i), "{}: {}", i, error),
            }
        }

        // Attempts: a batch goes again unchanged until it is acked, and only then the next one goes.
        let mut expected_first = 0;
        let mut open: Option<Vec<Vec<u8>>> = None;
        for (batch, step) in log.attempts() {
            if let Some(open) = &open {
                prop_assert_eq!(open, &batch);
            }
            prop_assert_eq!(index(&batch[0]), expected_first);
            if step == Step::Ack {
                expected_first += batch.len();
                open = None;
            } else {
                open = Some(batch);
            }
        }
        prop_assert_eq!(acked, expected_first);

        // It gives up only when it must.
        let refused = log.attempts().iter().any(|(_, step)| *step == Step::RefusedForGood);
        let expired = heard.iter().any(|(_, r)| matches!(r, Err(ProduceError::Expired { .. })));
        prop_assert_eq!(acked < messages.len(), refused || expired);
    }
}
