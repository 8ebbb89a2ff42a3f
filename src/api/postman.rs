//! The OpenAPI document as a collection for Postman, format 2.1: a request for each operation, in the order in which a
//! newcomer would send them, each with a test of what it has to answer.
//!
//! Made here and not by a general converter, so that it can be run as it is: its variables have values, the payment's order
//! is a new one with each run, and the delivery is waited for.

use serde_json::{Map, Value, json};

/// A story: what is alive, then a payment, sent twice under one key, then where it went.
const STORY: [&str; 8] =
    ["healthz", "readyz", "accept", "accept", "delivery", "events", "pipeline", "metrics"];

/// Before the first payment: an order and a key of this run's own.
const NEW_ORDER: &str = r#"if (!pm.collectionVariables.get("orderId")) {
    pm.collectionVariables.set("orderId", "postman-" + Date.now());
    pm.collectionVariables.set("idempotencyKey", pm.variables.replaceIn("{{$guid}}"));
}"#;

/// A delivery takes a moment; asked at most 20 times.
const WAITED_FOR: &str = r#"const asked = Number(pm.collectionVariables.get("asked") || 0);
if (pm.response.code === 404 && asked < 20) {
    pm.collectionVariables.set("asked", asked + 1);
    setTimeout(() => {}, 250);
    pm.execution.setNextRequest(pm.info.requestName);
} else {
    pm.collectionVariables.unset("asked");
    pm.test("the delivery is there", () => {
        pm.response.to.have.status(200);
        const delivery = pm.response.json();
        pm.expect(delivery.orderId).to.eql(pm.collectionVariables.get("orderId"));
        pm.expect(delivery.revision).to.be.at.least(1);
        pm.expect(["view", "store"]).to.include(delivery.answeredBy);
    });
}"#;

/// The collection for a document.
pub(super) fn collection(document: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let operations = operations(&document);
    let mut seen = Vec::new();
    let mut items: Vec<Value> = Vec::new();
    // The story first, then what it leaves out, so that no operation is forgotten.
    let rest = operations.iter().map(|(id, ..)| id.as_str()).filter(|id| !STORY.contains(id));
    for id in STORY.into_iter().chain(rest) {
        let Some((_, path, method, operation)) = operations.iter().find(|(known, ..)| known == id) else {
            continue;
        };
        let again = seen.contains(&id);
        seen.push(id);
        items.push(item(&document, (path, method, operation), id, again));
    }
    let info = &document["info"];
    let collection = json!({
        "info": {
            "name": info["title"],
            "description": info["description"],
            "version": info["version"],
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [
            {"key": "baseUrl", "value": document["servers"][0]["url"], "type": "string"},
            {"key": "token", "value": "", "type": "string",
             "description": "The service's token, if it was started with one"},
            {"key": "orderId", "value": "", "type": "string"},
            {"key": "idempotencyKey", "value": "", "type": "string"},
        ],
        "item": items,
    });
    // A tree of strings and numbers: serialising it cannot fail.
    serde_json::to_string_pretty(&collection).unwrap_or_default()
}

/// Operation id, path, method and description of every operation.
fn operations(document: &Value) -> Vec<(String, String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            all.push((id, path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    all
}

fn item(document: &Value, of: (&str, &str, &Value), id: &str, again: bool) -> Value {
    let (path, method, operation) = of;
    let summary = operation["summary"].as_str().unwrap_or(id);
    let name =
        if again { format!("{method} {path} again, with the same key") } else { format!("{method} {path}") };
    let mut request = Map::new();
    request.insert("method".into(), method.into());
    request.insert("description".into(), summary.into());
    request.insert("url".into(), url(path, operation));
    request.insert("header".into(), headers(operation));
    if operation["security"].as_array().is_some_and(Vec::is_empty) {
        request.insert("auth".into(), json!({"type": "noauth"}));
    }
    if operation["requestBody"].is_object() {
        let body = serde_json::to_string_pretty(&example(document, operation)).unwrap_or_default();
        let raw = json!({"mode": "raw", "raw": body, "options": {"raw": {"language": "json"}}});
        request.insert("body".into(), raw);
    }
    let mut events = vec![script("test", &test(operation, id))];
    if id == "accept" && !again {
        events.push(script("prerequest", NEW_ORDER));
    }
    json!({"name": name, "request": request, "response": [], "event": events})
}

/// The address, the order id in it taken from the variable; query parameters are there to be switched on.
fn url(path: &str, operation: &Value) -> Value {
    let path = path.replace("{orderId}", "{{orderId}}");
    let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let query: Vec<_> = parameters(operation, "query")
        .map(|parameter| {
            let value = parameter["schema"].get("default").cloned().unwrap_or_default().to_string();
            json!({"key": parameter["name"], "value": value.trim_matches('"'), "disabled": true,
                   "description": parameter["description"]})
        })
        .collect();
    json!({"raw": format!("{{{{baseUrl}}}}{path}"), "host": ["{{baseUrl}}"], "path": segments, "query": query})
}

fn headers(operation: &Value) -> Value {
    let mut headers = Vec::new();
    if operation["requestBody"].is_object() {
        headers.push(json!({"key": "Content-Type", "value": "application/json"}));
    }
    for parameter in parameters(operation, "header") {
        headers.push(json!({"key": parameter["name"], "value": "{{idempotencyKey}}",
                            "description": parameter["description"]}));
    }
    headers.into()
}

fn parameters<'a>(operation: &'a Value, place: &'a str) -> impl Iterator<Item = &'a Value> {
    operation["parameters"].as_array().into_iter().flatten().filter(move |parameter| parameter["in"] == place)
}

/// The example of the body's schema, with the order of this run.
fn example(document: &Value, operation: &Value) -> Value {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let pointer = schema.as_str().unwrap_or_default().trim_start_matches('#');
    let mut example = document.pointer(pointer).map_or(Value::Null, |schema| schema["example"].clone());
    example["orderId"] = "{{orderId}}".into();
    example
}

/// What the operation promises, as a test.
fn test(operation: &Value, id: &str) -> String {
    let promised = operation["responses"].as_object().into_iter().flat_map(Map::keys);
    let success = promised.filter(|status| status.starts_with('2')).min().map_or("200", String::as_str);
    match id {
        "delivery" => WAITED_FOR.to_owned(),
        "accept" => format!(
            r#"pm.test("the payment is accepted", () => {{
    pm.response.to.have.status({success});
    const payment = pm.response.json();
    pm.expect(payment.orderId).to.eql(pm.collectionVariables.get("orderId"));
    pm.expect(payment.revision).to.eql(1);
    pm.expect(payment.offset).to.be.at.least(0);
    pm.expect(pm.response.headers.get("Location")).to.eql("/deliveries/" + payment.orderId);
}});"#
        ),
        "events" => format!(
            r#"pm.test("the log holds the payment once", () => {{
    pm.response.to.have.status({success});
    pm.expect(pm.response.json().events.map(event => event.revision)).to.eql([1]);
}});"#
        ),
        _ => format!(r#"pm.test("status {success}", () => pm.response.to.have.status({success}));"#),
    }
}

fn script(listen: &str, text: &str) -> Value {
    let lines: Vec<_> = text.lines().collect();
    json!({"listen": listen, "script": {"type": "text/javascript", "exec": lines}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_request_that_can_be_sent() {
        let document: Value = serde_json::from_str(&super::super::openapi_json()).unwrap();
        let collection: Value = serde_json::from_str(&super::super::postman_json()).unwrap();
        let items = collection["item"].as_array().unwrap();
        for (_, path, method, _) in operations(&document) {
            let name = format!("{method} {path}");
            assert!(items.iter().any(|item| item["name"] == name.as_str()), "{name}");
        }
        assert_eq!(items.len(), operations(&document).len() + 1, "and the payment a second time");
        let payment = items.iter().find(|item| item["name"] == "POST /payments").unwrap();
        assert_eq!(payment["request"]["url"]["raw"], "{{baseUrl}}/payments");
        let body: Value = serde_json::from_str(payment["request"]["body"]["raw"].as_str().unwrap()).unwrap();
        assert_eq!((&body["orderId"], &body["amountMinor"]), (&json!("{{orderId}}"), &json!(1999)));
    }
}
