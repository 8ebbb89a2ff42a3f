//! Files of settings in TOML, read by hand: toml's own errors name no allowed words, and every error here says where it is, what is wrong,
//! and what may stand there.

use std::path::Path;

pub use toml::Spanned;
pub use toml::de::{DeTable, DeValue};

mod error;

pub use error::{Location, SettingsError, likely, quoted};

/// The text of a file.
///
/// # Errors
/// [`SettingsError::NotFound`], [`SettingsError::Read`].
pub fn read(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => SettingsError::NotFound { path: path.into() },
        _ => SettingsError::Read { path: path.into(), source },
    })
}

/// A file and its text, which know where things are.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The file's text.
    pub text: &'a str,
    /// What errors call the file.
    pub path: &'a Path,
}

impl<'a> Reader<'a> {
    /// The whole file.
    ///
    /// # Errors
    /// [`SettingsError::Syntax`].
    pub fn document(&self) -> Result<Spanned<DeTable<'a>>, SettingsError> {
        DeTable::parse(self.text).map_err(|error| {
            let byte = error.span().map_or(0, |span| span.start);
            // The parser's text may go over several lines; an error is said in one.
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            SettingsError::Syntax { location: self.location(byte), message }
        })
    }

    /// Refuses keys that mean nothing; the first of them in the file is named.
    ///
    /// # Errors
    /// [`SettingsError::UnknownKey`].
    pub fn only(&self, table: &DeTable<'_>, allowed: &'static [&'static str]) -> Result<(), SettingsError> {
        let unknown = table.keys().filter(|key| !allowed.contains(&key.get_ref().as_ref()));
        match unknown.min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(key) => Err(SettingsError::UnknownKey {
                location: self.location(key.span().start),
                key: key.get_ref().to_string(),
                allowed,
            }),
        }
    }

    /// The tables of an array such as `[[metric]]`, each with its location; none where there is no such key. `expected` says what it has to be.
    ///
    /// # Errors
    /// [`SettingsError::WrongType`].
    pub fn tables<'t>(
        &self,
        table: &'t DeTable<'a>,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Vec<(&'t DeTable<'a>, Location)>, SettingsError> {
        let Some(entries) = table.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(array) = entries.get_ref() else {
            return Err(self.wrong_type(entries, key, expected));
        };
        let entry = |entry: &'t Spanned<DeValue<'a>>| match entry.get_ref() {
            DeValue::Table(table) => Ok((table, self.location(entry.span().start))),
            _ => Err(self.wrong_type(entry, key, expected)),
        };
        array.iter().map(entry).collect()
    }

    /// A string.
    ///
    /// # Errors
    /// [`SettingsError::WrongType`].
    pub fn string<'t>(
        &self,
        value: &'t Spanned<DeValue<'a>>,
        key: &'static str,
        expected: &'static str,
    ) -> Result<&'t str, SettingsError> {
        value.get_ref().as_str().ok_or_else(|| self.wrong_type(value, key, expected))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`SettingsError::WrongType`].
    pub fn bool(&self, value: &Spanned<DeValue<'_>>, key: &'static str) -> Result<bool, SettingsError> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong_type(value, key, "true or false"))
    }

    /// The position of a word among those allowed; `what` is what it should name.
    ///
    /// # Errors
    /// [`SettingsError::WrongType`], [`SettingsError::UnknownWord`].
    pub fn word(
        &self,
        value: &Spanned<DeValue<'a>>,
        key: &'static str,
        what: &'static str,
        allowed: &'static [&'static str],
    ) -> Result<usize, SettingsError> {
        let found = self.string(value, key, "a string")?;
        allowed.iter().position(|word| *word == found).ok_or_else(|| SettingsError::UnknownWord {
            location: self.at(value),
            key,
            found: found.into(),
            what,
            allowed,
        })
    }

    /// That a value is of another type than it has to be.
    pub fn wrong_type(
        &self,
        value: &Spanned<DeValue<'_>>,
        key: &'static str,
        expected: &'static str,
    ) -> SettingsError {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        SettingsError::WrongType {
            location: self.at(value),
            key,
            found: format!("{article} {found}"),
            expected,
        }
    }

    /// Where a value stands.
    pub fn at(&self, value: &Spanned<DeValue<'_>>) -> Location {
        self.location(value.span().start)
    }

    /// The location of a byte of the text.
    pub fn location(&self, byte: usize) -> Location {
        Location::of(self.path, self.text, byte)
    }
}
