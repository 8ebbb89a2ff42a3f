//! What every store and every view promises, on PostgreSQL and Redis. A broken promise panics, naming itself.

use std::sync::Arc;

use libtest_mimic::Failed;
use payment_delivery::store::payments::PaymentLog;
use payment_delivery::store::{self, DeliveryStore};
use payment_delivery::view::{self, StatusView};

use crate::Case;
use crate::bed::{Bed, check};

pub(crate) const CASES: &[Case] = &[
    ("PostgreSQL keeps the store's contract", the_store),
    ("PostgreSQL keeps the contract of accepted payments", the_payments),
    ("PostgreSQL: rights, locks, lost sessions, a frozen server", postgres),
    ("Redis keeps the view's contract", the_view),
    ("Redis: rights, lost connections, a frozen server", redis),
];

fn the_store(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        let shared = field.store().await?;
        for (_, check) in store::contract::CHECKS {
            check(&shared).await;
        }
        let mut apart: Vec<Arc<dyn DeliveryStore>> = Vec::new();
        for _ in 0..4 {
            apart.push(Arc::new(field.store().await?));
        }
        store::contract::deliveries_at_once_end_in_the_same_rows(&apart).await;
        store::contract::clear_empties_both_tables(&shared).await;
        Ok(())
    })
}

fn the_payments(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        let mut logs: Vec<Arc<dyn PaymentLog>> = Vec::new();
        for _ in 0..4 {
            let store = field.store().await?;
            store.prepare_payments().await?;
            logs.push(Arc::new(store));
        }
        for (_, holds) in store::payments::contract::CHECKS {
            holds(&*logs[0]).await;
        }
        store::payments::contract::writers_at_once_leave_no_gap(&logs).await;
        logs[0].clear_payments().await?;
        check(logs[0].topic_in_use().await?.is_none(), "the table should be empty")?;
        let store = field.store().await?;
        store.drop_schema().await?;
        check(logs[0].topic_in_use().await.is_err(), "the table should have gone with its schema")
    })
}

fn postgres(bed: &Bed) -> Result<(), Failed> {
    let pid = bed.stack.pids().postgres.ok_or("no PostgreSQL")?;
    bed.run(async {
        let url = &bed.endpoints().database_url;
        for (_, check) in store::postgres::contract::CHECKS {
            check(url).await;
        }
        store::postgres::contract::a_frozen_server_is_unavailable_in_time(url, pid as i32).await;
        Ok(())
    })
}

fn the_view(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (field, other) = (bed.field(1).await?, bed.field(1).await?);
        let shared = field.view().await?;
        for (_, check) in view::contract::CHECKS {
            check(&shared).await;
        }
        let mut apart: Vec<Arc<dyn StatusView>> = Vec::new();
        for _ in 0..4 {
            apart.push(Arc::new(field.view().await?));
        }
        view::contract::writes_at_once_never_go_back(&apart).await;
        view::contract::clear_forgets_its_own_prefix(&shared, &other.view().await?).await;
        Ok(())
    })
}

fn redis(bed: &Bed) -> Result<(), Failed> {
    let pid = bed.stack.pids().redis.ok_or("no Redis")?;
    bed.run(async {
        let url = &bed.endpoints().redis_url;
        for (_, check) in view::redis::contract::CHECKS {
            check(url).await;
        }
        view::redis::contract::a_frozen_server_is_unavailable_in_time(url, pid as i32).await;
        Ok(())
    })
}
