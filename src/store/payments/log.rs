//! The statements run, for either database: sqlx's queries are typed by database, and what binds and reads in both would take
//! a page of bounds, so this is a macro.

/// Implements [`super::PaymentLog`] for a store, given the statements that make and empty its table.
macro_rules! payment_log {
    ($store:ty, $prepare:expr, $clear:expr) => {
        #[async_trait]
        impl PaymentLog for $store {
            async fn look(
                &self,
                order_id: &OrderId,
                idempotency_key: Option<&str>,
                revision: Option<Revision>,
            ) -> Result<Found, StoreError> {
                let revision = revision.map(error::integer).transpose()?;
                let look =
                    sqlx::query(payments::LOOK).bind(order_id.as_str()).bind(idempotency_key).bind(revision);
                payments::found(&self.page(look).await?)
            }

            async fn keep(&self, payment: &Payment) -> Result<bool, StoreError> {
                let keep = sqlx::query(payments::KEEP)
                    .bind(payment.order_id.as_str())
                    .bind(error::integer(payment.revision)?)
                    .bind(payment.idempotency_key.as_deref())
                    .bind(payment.request.as_str())
                    .bind(payment.payload.as_slice())
                    .bind(payment.topic.as_str())
                    .bind(payment.instance.as_str())
                    .bind(payment.accepted_at_ms);
                Ok(!self.page(keep).await?.is_empty())
            }

            async fn place(
                &self,
                order_id: &OrderId,
                revision: Revision,
                origin: Origin,
            ) -> Result<bool, StoreError> {
                let place = sqlx::query(payments::PLACE)
                    .bind(order_id.as_str())
                    .bind(error::integer(revision)?)
                    .bind(origin.partition)
                    .bind(origin.offset);
                Ok(!self.page(place).await?.is_empty())
            }

            async fn pending(
                &self,
                instance: &str,
                before_ms: i64,
                after: &str,
                limit: u16,
            ) -> Result<Vec<Payment>, StoreError> {
                let pending = sqlx::query(payments::PENDING)
                    .bind(instance)
                    .bind(before_ms)
                    .bind(after)
                    .bind(i64::from(limit));
                self.page(pending).await?.iter().map(payments::payment).collect()
            }

            async fn topic_in_use(&self) -> Result<Option<String>, StoreError> {
                let rows = self.page(sqlx::query(payments::TOPIC)).await?;
                rows.first()
                    .map(|row| row.text("topic").map(str::to_owned).map_err(error::unreadable))
                    .transpose()
            }

            async fn prepare_payments(&self) -> Result<(), StoreError> {
                self.execute($prepare).await
            }

            async fn clear_payments(&self) -> Result<(), StoreError> {
                self.execute($clear).await
            }
        }
    };
}

pub(in crate::store) use payment_log;
