//! The deadline against every step of accepting, on a log and a wire whose time is the test's.

use super::*;
use crate::store::StoreError;
use crate::store::payments::Found;

/// A log and a wire in one; each step takes as many milliseconds as it is told to.
struct Slow {
    kept: Mutex<Vec<Payment>>,
    /// Before and after a look, a write and a send.
    look_ms: u64,
    before_write_ms: u64,
    after_write_ms: u64,
    send_ms: u64,
    /// How often another instance is first.
    outrun: Mutex<u32>,
}

impl Slow {
    async fn takes(ms: u64) {
        // Even no time at all lets others go first.
        tokio::task::yield_now().await;
        sleep(Duration::from_millis(ms)).await;
    }
}

#[async_trait::async_trait]
impl PaymentLog for Slow {
    async fn look(&self, _: &OrderId, _: Option<&str>, _: Option<Revision>) -> Result<Found, StoreError> {
        Self::takes(self.look_ms).await;
        Ok(Found::default())
    }

    async fn keep(&self, payment: &Payment) -> Result<bool, StoreError> {
        Self::takes(self.before_write_ms).await;
        let first = {
            let mut outrun = self.outrun.lock().unwrap();
            let first = *outrun == 0;
            *outrun = outrun.saturating_sub(1);
            first
        };
        if first {
            self.kept.lock().unwrap().push(payment.clone());
        }
        Self::takes(self.after_write_ms).await;
        Ok(first)
    }

    async fn place(&self, _: &OrderId, _: Revision, _: Origin) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn pending(&self, _: &str, _: i64, _: &str, _: u16) -> Result<Vec<Payment>, StoreError> {
        Ok(Vec::new())
    }

    async fn topic_in_use(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn prepare_payments(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn clear_payments(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait::async_trait]
impl Sender for Slow {
    async fn send(&self, _: Message) -> Result<Origin, String> {
        Self::takes(self.send_ms).await;
        Ok(Origin { partition: 0, offset: 0 })
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_definitely_refused_is_never_written_wherever_the_deadline_falls() {
    let (mut accepted, mut refused, mut unconfirmed) = (0, 0, 0);
    for steps in 0..3_u64.pow(4) {
        let ms = |step: u32| steps / 3_u64.pow(step) % 3;
        for outrun in 0..3 {
            for deadline_ms in 0..=14 {
                let slow = Arc::new(Slow {
                    kept: Mutex::default(),
                    look_ms: ms(0),
                    before_write_ms: ms(1),
                    after_write_ms: ms(2),
                    send_ms: ms(3),
                    outrun: Mutex::new(outrun),
                });
                let config = IntakeConfig {
                    topic: "payment-completed".into(),
                    instance: "me".into(),
                    resend_after: Duration::from_secs(60),
                };
                let intake = Intake::open(slow.clone(), slow.clone(), config).await.unwrap();
                let deadline = Instant::now() + Duration::from_millis(deadline_ms);
                let outcome = intake.accept(asked("o", 1, None), None, deadline, ()).await;
                assert!(intake.drain(Duration::from_secs(60)).await);
                let written = slow.kept.lock().unwrap().len();
                match outcome {
                    Ok(_) => {
                        accepted += 1;
                        assert_eq!(written, 1);
                    }
                    Err(IntakeError::Unconfirmed { .. }) => unconfirmed += 1,
                    Err(error) => {
                        refused += 1;
                        assert_eq!(written, 0, "{error}, steps {steps}, outrun {outrun}, {deadline_ms} ms");
                    }
                }
            }
        }
    }
    assert!(accepted > 100 && refused > 100 && unconfirmed > 100, "{accepted} {refused} {unconfirmed}");
}
