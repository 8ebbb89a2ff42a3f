//! What every request passes on its way in, and every answer on its way out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::App;
use super::payments::unconfirmed;
use super::problem::{Problem, located};

/// Paths that are answered however many requests are in hand.
const ALWAYS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Paths that need no token.
const PUBLIC: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

/// How much later than a request's own deadlines it is given up from outside.
const MARGIN: Duration = Duration::from_secs(1);

/// A request's place among those in hand, kept by whatever still works for it.
#[derive(Clone)]
pub(super) struct Admitted(#[expect(dead_code, reason = "it is held")] Arc<OwnedSemaphorePermit>);

/// The whole way: counted, admitted, bounded in time, and answered as a problem where it failed.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (uri, method) = (request.uri().clone(), request.method().clone());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = located(admitted(&app, request, next).await, &uri);
    if method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response = allowed(&response);
    }
    if matches!(response.status(), StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
        // What is left of the body will not be read.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let route = route.as_deref().unwrap_or("unmatched");
    app.metrics.request(route, known(&method), response.status().as_u16(), begun.elapsed());
    response
}

async fn admitted(app: &App, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if let Some(token) = &app.token
        && !PUBLIC.contains(&path)
        && !token.admits(request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes))
    {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "show the token: `Authorization: Bearer …`");
        let mut response = problem.into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let pays = request.method() == Method::POST;
    if !ALWAYS.contains(&path) {
        let (places, kind) =
            if pays { (&app.payments_in_hand, "payments") } else { (&app.reads_in_hand, "reads") };
        let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
            let words = format!("{} {kind} are in hand already", app.limits.requests);
            return Problem::unavailable(words).into_response();
        };
        request.extensions_mut().insert(Admitted(Arc::new(permit)));
    }
    // Whoever serves it has its own deadline before.
    let limit = app.limits.body_timeout + app.limits.request_timeout + MARGIN;
    match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let words = format!("not answered within {limit:?}");
            if pays { unconfirmed(&words) } else { Problem::unavailable(words) }.into_response()
        }
    }
}

/// The answer to OPTIONS: what the path allows.
fn allowed(response: &Response) -> Response {
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

/// Methods are free text, and a label must not be.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
