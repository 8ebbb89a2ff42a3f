//! Accepted payments in the same database, by the statements that both databases share.

use async_trait::async_trait;

use super::{PostgresStore, statements as sql};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;
use crate::store::payments::{self, Found, Payment, PaymentLog, payment_log};
use crate::store::{StoreError, error, row::Columns as _};

payment_log!(PostgresStore, sql::PAYMENTS, sql::CLEAR_PAYMENTS);
