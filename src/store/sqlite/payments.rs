//! Accepted payments in the same database, by the statements that both databases share.

use async_trait::async_trait;

use super::{SqliteStore, statements as sql};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;
use crate::store::payments::{self, Found, Payment, PaymentLog, payment_log};
use crate::store::{StoreError, error, row::Columns as _};

payment_log!(SqliteStore, sql::PAYMENTS, sql::CLEAR_PAYMENTS);
