//! `POST /payments`: a payment is accepted.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::App;
use super::guard::Admitted;
use super::metrics::Payment;
use super::problem::{FieldError, Problem};
use crate::event::Revision;
use crate::intake::{Accepted, Asked, Fault, IntakeError, KEY_MAX_CHARS, Raw, currency, idempotency_key};

/// The header by which a client names its request, so that it may send it again.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Faults told at most, since a body may hold thousands of unknown fields.
const FAULTS_MAX: usize = 20;

/// A completed payment. Another one for the same order supersedes it: an amended address or amount.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"orderId": "order-1", "amountMinor": 1999, "currency": "EUR",
                          "address": "Hauptstraße 1, 50667 Köln"}))]
#[expect(dead_code, reason = "it describes the body; `read` reads it, so that all faults are told at once")]
pub(super) struct NewPayment {
    /// The order: 1 to 64 bytes of UTF-8 without control characters.
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    order_id: String,
    /// Amount paid, in the currency's smallest unit.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64)]
    amount_minor: i64,
    /// An active code of ISO 4217.
    #[schema(schema_with = currency_schema)]
    currency: String,
    /// Where the parcel goes: 1 to 500 characters, not only blanks, no control characters but line feeds.
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$")]
    address: String,
    /// When it was paid, milliseconds of Unix time, from the year 2000 to 2100; the moment of acceptance if left out.
    #[schema(minimum = 946_684_800_000_i64, maximum = 4_102_444_800_000_i64)]
    paid_at_ms: Option<i64>,
    /// The revision that the client takes for the next: refused with 409 if it is another. The same payment at a revision
    /// that was accepted already brings the same answer again.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    revision: Option<i32>,
}

fn currency_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("An active code of ISO 4217."))
        .enum_values(Some(currency::CODES))
        .build()
}

/// The payment is in the log and will be delivered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptedPayment {
    /// The order.
    #[schema(example = "order-1")]
    order_id: String,
    /// Which payment of its order it is, from 1, without gaps.
    #[schema(minimum = 1, example = 1)]
    revision: Revision,
    /// The topic that holds it.
    #[schema(example = "payment-completed")]
    topic: String,
    /// The partition.
    #[schema(minimum = 0)]
    partition: i32,
    /// Its offset in the partition.
    #[schema(minimum = 0)]
    offset: i64,
}

/// Accept a payment: it is kept, numbered in its order, and in the log when this answers
#[utoipa::path(
    post,
    path = "/payments",
    tag = "payments",
    request_body = NewPayment,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            pattern = r"^[!#-\[\]-~]+$",
            description = "The client's name for this request: sent again, with the same body, it brings the first \
                           answer again. Visible ASCII, bare or in quotation marks.",
            example = "8e03978e-40d5-43dd-bc93-6894a57f9324")),
    responses(
        (status = 202, description = "Accepted: it is in the log and will be delivered", body = AcceptedPayment,
         headers(("Location" = String, description = "Where its delivery can be followed"))),
        (status = 400, description = "The body is no JSON object", body = Problem,
         content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "The order's next revision is another one", body = Problem,
         content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem,
         content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "Values break their rules (`errors` names them), or the idempotency key was used \
                                      for another request", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn accept(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let held = request.extensions().get::<Admitted>().cloned();
    let asked = asked(&app, request).await;
    let (asked, key) = asked.inspect_err(|_| app.metrics.payment(Payment::Refused))?;
    let deadline = Instant::now() + app.limits.request_timeout;
    // Boxed: the store's futures within are large.
    let accepted = Box::pin(app.intake.accept(asked, key, deadline, held)).await;
    app.metrics.payment(match &accepted {
        Ok(Accepted { replayed: false, .. }) => Payment::Accepted,
        Ok(_) => Payment::Replayed,
        Err(IntakeError::Conflict { .. } | IntakeError::KeyReused | IntakeError::Exhausted) => {
            Payment::Refused
        }
        Err(_) => Payment::Failed,
    });
    let Accepted { order_id, revision, origin, .. } = accepted.map_err(|error| problem(&error))?;
    let location = format!("/deliveries/{}", encoded(order_id.as_str()));
    let body = AcceptedPayment {
        order_id: order_id.to_string(),
        revision,
        topic: app.topic.clone(),
        partition: origin.partition,
        offset: origin.offset,
    };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Reads the request, whole and in time.
async fn asked(app: &App, request: Request) -> Result<(Asked, Option<String>), Problem> {
    let key = key(request.headers())?;
    if !says_json(request.headers()) {
        let words = "the Content-Type must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let body = timeout(app.limits.body_timeout, Bytes::from_request(request, &())).await;
    let body = body.map_err(|_| {
        let words = format!("the body did not come within {:?}", app.limits.body_timeout);
        Problem::new(StatusCode::REQUEST_TIMEOUT, words)
    })?;
    let body = body.map_err(|rejected| match rejected.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let words = format!("the body has more than {} bytes", app.limits.body_bytes);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, words)
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, "the body could not be read"),
    })?;
    let value: Value = serde_json::from_slice(&body).map_err(|error| {
        Problem::of(StatusCode::BAD_REQUEST, "urn:problem:no-json", "Not JSON", error.to_string())
    })?;
    let Value::Object(fields) = value else {
        let words = "the body must be a JSON object";
        return Err(Problem::of(StatusCode::BAD_REQUEST, "urn:problem:no-json", "Not JSON", words));
    };
    Ok((read(fields)?, key))
}

/// The idempotency key, if there is one.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|_| values.next().is_none()).and_then(idempotency_key);
    key.map(Some).ok_or_else(|| {
        let rule = format!("must be one value of 1 to {KEY_MAX_CHARS} visible ASCII characters");
        Problem::parameter("Idempotency-Key", rule)
    })
}

fn says_json(headers: &HeaderMap) -> bool {
    let essence = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = essence.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Reads every field and tells all that is wrong.
fn read(mut fields: Map<String, Value>) -> Result<Asked, Problem> {
    let mut faults = Vec::new();
    let order_id = text(&mut fields, "orderId", &mut faults);
    let amount_minor = number(&mut fields, "amountMinor", &mut faults);
    if amount_minor.is_none() && !faults.iter().any(|fault: &FieldError| fault.is_at("amountMinor")) {
        faults.push(FieldError::at("amountMinor", "is missing"));
    }
    let currency = text(&mut fields, "currency", &mut faults);
    let address = text(&mut fields, "address", &mut faults);
    let paid_at_ms = number(&mut fields, "paidAtMs", &mut faults);
    let revision = number(&mut fields, "revision", &mut faults);
    for unknown in fields.keys() {
        faults.push(FieldError::at(unknown, "is not a field of a payment"));
    }
    let raw = Raw {
        order_id: order_id.unwrap_or_default(),
        amount_minor: amount_minor.unwrap_or_default(),
        currency: currency.unwrap_or_default(),
        address: address.unwrap_or_default(),
        paid_at_ms,
        revision,
    };
    match Asked::check(raw) {
        Ok(asked) if faults.is_empty() => Ok(asked),
        checked => {
            for Fault { field, detail } in checked.err().unwrap_or_default() {
                // A field that is missing or of another type is told once.
                if !faults.iter().any(|fault| fault.is_at(field)) {
                    faults.push(FieldError::at(field, detail));
                }
            }
            faults.truncate(FAULTS_MAX);
            Err(Problem::invalid(faults))
        }
    }
}

fn text(
    fields: &mut Map<String, Value>,
    field: &'static str,
    faults: &mut Vec<FieldError>,
) -> Option<String> {
    match fields.remove(field) {
        Some(Value::String(text)) => return Some(text),
        Some(_) => faults.push(FieldError::at(field, "must be a string")),
        None => faults.push(FieldError::at(field, "is missing")),
    }
    None
}

fn number(fields: &mut Map<String, Value>, field: &'static str, faults: &mut Vec<FieldError>) -> Option<i64> {
    let value = fields.remove(field).filter(|value| !value.is_null())?;
    let whole = value.as_i64();
    if whole.is_none() {
        faults.push(FieldError::at(field, "must be a whole number of 64 bits"));
    }
    whole
}

impl FieldError {
    fn at(field: &str, detail: impl Into<String>) -> Self {
        // RFC 6901 within a URI fragment.
        let pointer = format!("#/{}", encoded(&field.replace('~', "~0").replace('/', "~1")));
        Self { pointer: Some(pointer), parameter: None, detail: detail.into() }
    }

    fn is_at(&self, field: &str) -> bool {
        self.pointer.as_deref().and_then(|pointer| pointer.strip_prefix("#/")) == Some(field)
    }
}

/// Percent-encoded, as one segment of a path.
fn encoded(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

fn problem(error: &IntakeError) -> Problem {
    let words = error.to_string();
    match error {
        IntakeError::Conflict { .. } => {
            Problem::of(StatusCode::CONFLICT, "urn:problem:revision", "Another revision is next", words)
        }
        IntakeError::Exhausted => {
            Problem::of(StatusCode::CONFLICT, "urn:problem:revision", "No revision is left", words)
        }
        IntakeError::KeyReused => Problem::of(
            StatusCode::UNPROCESSABLE_ENTITY,
            "urn:problem:idempotency-key",
            "Idempotency key reused",
            words,
        ),
        IntakeError::Unconfirmed { .. } => unconfirmed(&words),
        IntakeError::Late | IntakeError::Store(_) | IntakeError::Behind { .. } => Problem::unavailable(words),
    }
}

/// It may have been accepted.
pub(super) fn unconfirmed(words: &str) -> Problem {
    let detail = format!("{words}; ask again with the same Idempotency-Key, or look at the order's events");
    Problem::of(StatusCode::SERVICE_UNAVAILABLE, "urn:problem:unconfirmed", "Not confirmed", detail)
        .retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn faults(json: &str, expected: &[(&str, &str)]) {
        let fields = serde_json::from_str(json).unwrap();
        let problem = read(fields).unwrap_err();
        let told: Vec<_> = problem
            .errors
            .iter()
            .map(|error| (error.pointer.as_deref().unwrap_or_default(), error.detail.as_str()))
            .collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for ((pointer, detail), (field, words)) in told.iter().zip(expected) {
            assert!(pointer == field && detail.contains(words), "{pointer} {detail}");
        }
    }

    #[test]
    fn every_fault_is_told_once_by_its_pointer() {
        faults(
            r#"{"amountMinor": 1.5, "currency": "DEM", "address": 7, "a/b ~": 1}"#,
            &[
                ("#/orderId", "is missing"),
                ("#/amountMinor", "whole number"),
                ("#/address", "must be a string"),
                ("#/a~1b%20~0", "not a field"),
                ("#/currency", "unknown currency"),
            ],
        );
        faults(
            r#"{"orderId": "o", "amountMinor": 1, "currency": "EUR", "address": "x", "revision": 1e3, "paidAtMs": null}"#,
            &[("#/revision", "whole number")],
        );
    }

    #[test]
    fn a_segment_of_a_path_is_encoded() {
        assert_eq!(encoded("a/b é?"), "a%2Fb%20%C3%A9%3F");
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        let says = |value: &'static str| {
            says_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert!(says("application/json") && says("Application/JSON; charset=utf-8"));
        assert!(!says("text/plain") && !says("") && !says_json(&HeaderMap::new()));
    }
}
