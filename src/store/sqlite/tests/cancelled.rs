//! A call given up at any of its waits: nothing half done, no lock left behind.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Field, apply};
use crate::store::contract::{fold, holds, origin, row};
use crate::store::{DeliveryStore, Effect};

/// When the caller turns away.
#[derive(Clone, Copy, Debug)]
enum At {
    /// As soon as the step was asked for.
    Asking,
    /// When the step's answer is there, unread.
    Answered,
}

/// Drives `future` for `steps` waits and then drops it; its output if it ended before.
async fn given_up_after<T>(steps: usize, at: At, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = steps;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && matches!(at, At::Asking) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The order has 2 and 3 parked; a worker is given up while it applies 1 and drains, and its successor, a store of its
/// own, gets the same message. Then the same with a message that is parked.
#[tokio::test]
async fn a_call_given_up_anywhere_leaves_no_trace_that_matters() {
    let field = Field::new();
    let mut given_up = 0;
    for at in [At::Asking, At::Answered] {
        let (worker, successor) = (field.store().await, field.store().await);
        // More waits than either call has, so that each is given up at any of them and ends in the last rounds.
        for steps in 1..=16 {
            let order = format!("o-{at:?}-{steps}");
            for early in [3, 2] {
                assert_eq!(apply(&successor, &order, early).await, Effect::Parked);
            }
            let first = fold(&order, 1, 1);
            let applied = given_up_after(steps, at, worker.apply(&first, origin(1))).await;

            let start = Instant::now();
            let seen = successor.delivery(&first.event.order_id).await.expect("the row is read");
            let whole = [None, Some(row(&order, 1)), Some(row(&order, 3))];
            assert!(whole.contains(&seen), "given up {at:?} {steps}: {seen:?}");
            let effect = apply(&successor, &order, 1).await;
            assert!(matches!(effect, Effect::Applied | Effect::Ignored), "{effect:?}");
            holds(&successor, &order, 3, &[]).await;

            let parked = given_up_after(steps, at, worker.apply(&fold(&order, 5, 5), origin(5))).await;
            assert_eq!(apply(&successor, &order, 5).await, Effect::Parked);
            holds(&successor, &order, 3, &[(5, 5)]).await;
            assert_eq!(apply(&worker, &order, 4).await, Effect::Applied);
            holds(&successor, &order, 5, &[]).await;
            let took = start.elapsed();
            assert!(took < Duration::from_secs(1), "given up {at:?} {steps}: a lock was left for {took:?}");

            given_up += usize::from(applied.is_none()) + usize::from(parked.is_none());
        }
    }
    // How many depends on how fast SQLite's thread answers: what is there already is no wait.
    assert!(given_up >= 4, "only {given_up} calls were given up");
}
