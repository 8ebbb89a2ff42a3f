//! The OpenAPI document as a collection for Postman.
pub(super) fn collection(_document: &str) -> String {
    String::new()
}
