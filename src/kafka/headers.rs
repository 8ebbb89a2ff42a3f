//! Headers of a record, byte for byte: rskafka's map of them knows neither null nor a second value, nor their order.

use std::collections::BTreeMap;

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name: UTF-8 by Kafka's own client, any bytes by others.
    pub name: Vec<u8>,
    /// Its value; `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
}

/// The headers of a record in their order. Names may repeat.
///
/// ```
/// use payment_delivery::kafka::Headers;
///
/// let mut headers = Headers::default();
/// headers.push("attempt", Some("1"));
/// headers.push("attempt", Some("2"));
/// headers.push("trace", None::<&str>);
/// assert_eq!(headers.last("attempt"), Some(&b"2"[..]));
/// assert_eq!(headers.last("trace"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// Appends one.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: Option<impl AsRef<[u8]>>) {
        self.0
            .push(Header { name: name.as_ref().to_vec(), value: value.map(|value| value.as_ref().to_vec()) });
    }

    /// The value of the last header of this name; `None` if there is none, or if it is null.
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rfind(|header| header.name == name.as_bytes())?.value.as_deref()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// The values that are not null, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        self.0.iter_mut().filter_map(|header| header.value.as_mut())
    }

    /// The bytes of all names and values.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// As rskafka has them; `None` if that would lose a null, a repeated name, the order, or a name that is no UTF-8.
    pub(crate) fn to_map(&self) -> Option<BTreeMap<String, Vec<u8>>> {
        if !self.0.is_sorted_by(|a, b| a.name < b.name) {
            return None;
        }
        self.0.iter().map(|h| Some((String::from_utf8(h.name.clone()).ok()?, h.value.clone()?))).collect()
    }
}

impl From<BTreeMap<String, Vec<u8>>> for Headers {
    fn from(map: BTreeMap<String, Vec<u8>>) -> Self {
        Self(map.into_iter().map(|(name, value)| Header { name: name.into(), value: Some(value) }).collect())
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&[u8], Option<&str>)]) -> Headers {
        let mut headers = Headers::default();
        all.iter().for_each(|(name, value)| headers.push(name, *value));
        headers
    }

    #[test]
    fn a_map_is_given_only_where_it_loses_nothing() {
        let plain = headers(&[(b"a", Some("1")), (b"b", Some(""))]);
        assert_eq!(Headers::from(plain.to_map().unwrap()), plain);
        assert_eq!(Headers::default().to_map(), Some(BTreeMap::new()));
        for lossy in [
            headers(&[(b"a", None)]),
            headers(&[(b"a", Some("1")), (b"a", Some("1"))]),
            headers(&[(b"b", Some("1")), (b"a", Some("1"))]),
            headers(&[(b"\xff", Some("1"))]),
        ] {
            assert_eq!(lossy.to_map(), None, "{lossy:?}");
        }
    }
}
