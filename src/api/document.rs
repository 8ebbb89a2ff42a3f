//! The OpenAPI document: made from the handlers, and completed with what holds for all of them.

use serde_json::Value;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, OpenApiBuilder, Ref, RefOr};

use super::problem::MEDIA_TYPE;

/// Name of the one way to show who one is.
const SCHEME: &str = "bearer";

const DESCRIPTION: &str = "\
Accepts payments and tells how far their deliveries are.

A payment that was answered with 202 is in the log and will be delivered, whatever happens to the service. Payments of \
one order are numbered (`revision` 1, 2, 3 …) without gaps and lie in the log in that order; each supersedes the one \
before.

Errors are problem documents (RFC 9457). Where the service has a token, everything but health, readiness and this \
document wants it.";

/// What the document says beside the paths.
pub(super) fn frame() -> OpenApi {
    let tag = |name: &str, words: &str| TagBuilder::new().name(name).description(Some(words)).build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Payment to delivery")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(
                    LicenseBuilder::new()
                        .name("MIT OR Apache-2.0")
                        .identifier(Some("MIT OR Apache-2.0"))
                        .build(),
                ))
                .build(),
        )
        .servers(Some([ServerBuilder::new()
            .url("http://127.0.0.1:8080")
            .description(Some("Where `lanebench serve` listens unless told otherwise"))
            .build()]))
        .tags(Some([
            tag("payments", "Payments come in"),
            tag("deliveries", "How far a delivery is"),
            tag("orders", "The order's messages in the log"),
            tag("pipeline", "Consumers, partitions, lag"),
            tag("health", "For those who watch the service"),
        ]))
        .build()
}

/// The document as JSON.
///
/// A parameter that may be left out is described as one that may be null, which nothing in a URL or a header can be.
pub(super) fn json(document: &OpenApi) -> String {
    // A tree of strings and numbers: serialising it cannot fail.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut());
    for operation in operations {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if let Some(kind) = parameter.pointer_mut("/schema/type")
                && let Some([one, null]) = kind.as_array().map(Vec::as_slice)
                && null == "null"
            {
                *kind = one.clone();
            }
        }
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Adds what holds for every operation: the token, and the problems that any may end in.
pub(super) fn completed(mut document: OpenApi) -> OpenApi {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The service's token, if it was started with one"))
        .build();
    document
        .components
        .get_or_insert_default()
        .security_schemes
        .insert(SCHEME.to_owned(), SecurityScheme::Http(scheme).into());
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            complete(operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().filter_map(Option::as_mut)
}

fn complete(operation: &mut Operation) {
    let open = operation.security.is_some();
    if open {
        operation.security = Some(Vec::new());
    } else {
        // Either the token, or none where the service has none.
        let none = SecurityRequirement::default();
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new()), none]);
    }
    let mut common = vec![
        ("431", "The request line and headers are too large; answered without a body"),
        ("503", "Something is away, or too much is in hand; Retry-After tells when to ask again"),
    ];
    if !open {
        common.push(("401", "The token is missing or wrong"));
    }
    for (status, words) in common {
        let mut response = ResponseBuilder::new().description(words);
        if status != "431" {
            let problem = Ref::from_schema_name("Problem");
            response = response.content(MEDIA_TYPE, ContentBuilder::new().schema(Some(problem)).build());
        }
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(response.build()));
    }
}
