//! Errors as problem documents (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, as RFC 9457 has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What kind of problem this is; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub(super) kind: &'static str,
    /// The kind in words, the same for each problem of its kind.
    pub(super) title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub(super) status: u16,
    /// What happened this time, and what helps.
    pub(super) detail: String,
    /// The path that was asked for.
    pub(super) instance: String,
    /// What is wrong with which part of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<FieldError>,
    #[serde(skip)]
    pub(super) retry_after_s: Option<u32>,
}

/// One part of a request that breaks its rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// JSON Pointer into the body, as a URI fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "#/amountMinor")]
    pub(super) pointer: Option<String>,
    /// The path parameter, query parameter or header, where it is not the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter: Option<&'static str>,
    /// The rule.
    pub(super) detail: String,
}

impl Problem {
    /// A problem that its status explains.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            instance: String::new(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// A problem of a kind of its own, named by a URI that need not lead anywhere.
    pub(super) fn of(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, title, ..Self::new(status, detail) }
    }

    /// Something is away or busy for now.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(1)
    }

    /// The request breaks rules.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "one value breaks its rule".to_owned(),
            n => format!("{n} values break their rules"),
        };
        let problem =
            Self::of(StatusCode::UNPROCESSABLE_ENTITY, "urn:problem:invalid", "Invalid values", detail);
        Self { errors, ..problem }
    }

    /// A parameter of path or query, or a header, breaks its rule.
    pub(super) fn parameter(parameter: &'static str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: None, parameter: Some(parameter), detail: detail.into() }])
    }

    /// After how many seconds another attempt is worth it.
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// Where it happened.
    pub(super) fn at(self, uri: &Uri) -> Self {
        Self { instance: uri.path().to_owned(), ..self }
    }
}

impl IntoResponse for Problem {
    /// The problem rides along, so that [`located`] can say where it happened.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Strings and integers only: serialising them cannot fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes of every error response a problem that says where it happened; headers such as `Allow` stay.
pub(super) fn located(response: Response, uri: &Uri) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let problem = parts.extensions.remove::<Problem>().unwrap_or_else(|| Problem::new(status, words(status)));
    let (own, body) = problem.at(uri).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(own.headers);
    Response::from_parts(parts, body)
}

/// For what the router answers by itself.
fn words(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "there is nothing here; /openapi.json tells what there is",
        StatusCode::METHOD_NOT_ALLOWED => "this path has other methods, which the Allow header names",
        _ => "the request can't be served",
    }
}
