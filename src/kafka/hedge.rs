//! Another attempt beside one that takes long: a broker that is frozen accepts a connection and says nothing.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

/// How long the first attempt is alone. Twice as long passes before the third …
const PAUSE: Duration = Duration::from_millis(250);
/// … and before any other.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What the first of several attempts comes to that ends, well or not.
///
/// An attempt that hangs is left to itself, and others start beside it. Each looks the leader up afresh, so a new leader is found before the
/// attempt that hangs is given up. A slow attempt is not cut short either. The caller bounds the whole in time, and so how many there are:
/// two a second. Dropping it ends them all.
///
/// Only for look-ups, which have no effect: all but one are for nothing.
///
/// # Errors
/// That of the first one that ends, if it failed.
pub(super) async fn hedged<T, E, F: Future<Output = Result<T, E>>>(attempt: impl Fn() -> F) -> Result<T, E> {
    let mut under_way = FuturesUnordered::from_iter([attempt()]);
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            Some(ended) = under_way.next() => return ended,
            () = sleep(pause) => {
                under_way.push(attempt());
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_hangs_holds_nobody_up() {
        for hang in [0, 1, 4] {
            let (made, begun) = (AtomicU32::new(0), Instant::now());
            let found = hedged(|| {
                let nth = made.fetch_add(1, Ordering::Relaxed);
                async move {
                    if nth < hang {
                        pending::<()>().await;
                    }
                    Ok::<_, ()>(nth)
                }
            });
            assert_eq!(found.await, Ok(hang));
            assert!(begun.elapsed() <= PAUSE_MAX * hang, "{hang} that hang took {:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_slow_may_still_be_the_first() {
        let made = AtomicU32::new(0);
        let found = hedged(|| {
            let nth = made.fetch_add(1, Ordering::Relaxed);
            async move {
                sleep(PAUSE_MAX * 10).await;
                Ok::<_, ()>(nth)
            }
        });
        assert_eq!(found.await, Ok(0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_told_at_once_and_what_only_hangs_is_tried_twice_a_second() {
        let begun = Instant::now();
        assert_eq!(hedged(|| async { Err::<(), _>("refused") }).await, Err("refused"));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let made = AtomicU32::new(0);
        let found = hedged(|| {
            made.fetch_add(1, Ordering::Relaxed);
            pending::<Result<(), ()>>()
        });
        assert!(timeout(Duration::from_secs(5), found).await.is_err());
        let made = made.load(Ordering::Relaxed);
        assert!((10..=12).contains(&made), "{made} attempts in 5 s");
    }
}
