//! What the REST API tells when all is done, for the checks of truth.

use std::sync::Arc;

use payment_delivery::event::OrderId;
use tokio::task::JoinSet;

use super::Client;
use crate::error::RunError;
use crate::load::client::ClientError;
use crate::verify::ApiAnswers;

/// Questions side by side.
const CLIENTS: usize = 16;
/// Orders whose messages are asked for, spread over all: each reads its partition from the start.
const HISTORIES: usize = 20;

/// Asks for the delivery of every order, and for the messages of some.
pub(in crate::trial) async fn ask(client: &Client, orders: &[OrderId]) -> Result<ApiAnswers, RunError> {
    let orders: Arc<[OrderId]> = orders.into();
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let (client, orders) = (client.clone(), Arc::clone(&orders));
        clients.spawn(async move {
            let mut told = Vec::new();
            for id in orders.iter().skip(first).step_by(CLIENTS) {
                told.push((id.clone(), client.delivery(id).await?));
            }
            Ok::<_, ClientError>(told)
        });
    }
    let mut answers = ApiAnswers::default();
    while let Some(told) = clients.join_next().await {
        let told = told.map_err(|panicked| RunError::Service(panicked.to_string()))?;
        answers.deliveries.extend(told?);
    }
    for id in orders.iter().step_by(orders.len().div_ceil(HISTORIES).max(1)) {
        answers.histories.push((id.clone(), client.history(id).await?));
    }
    answers.retried = client.retried();
    Ok(answers)
}

impl From<ClientError> for RunError {
    fn from(error: ClientError) -> Self {
        Self::Service(error.to_string())
    }
}
