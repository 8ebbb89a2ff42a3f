//! The reader: what was appended since it last looked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::format::{HEADER_BYTES, MAGIC, RECORD_BYTES, VERSION, WireHeader};
use super::{Record, RunFileError};

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The process that writes it.
    pub pid: u32,
    /// When it began, in ns of Unix time.
    pub begun_unix_ns: i64,
}

/// Follows a run file while a process writes it, and after that process's death.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    header: Option<Header>,
    /// Bytes of the file that were taken, header included.
    taken: u64,
}

impl Follower {
    /// Follows the file at `path`. It need not be there yet, since whoever starts a worker looks before it has begun to write.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), file: None, header: None, taken: 0 }
    }

    /// Whose file it is, once a poll has seen the header whole.
    pub fn header(&self) -> Option<Header> {
        self.header
    }

    /// The records appended since the last poll, in their order; none as long as there is no file. The last one is left for
    /// the next poll if it is not whole.
    ///
    /// # Errors
    /// [`RunFileError::Foreign`], [`RunFileError::UnknownVersion`], [`RunFileError::Damaged`] and [`RunFileError::Cut`] for what
    /// was not written by a recorder of this version alone, [`RunFileError::Read`] for what the system says.
    pub fn poll(&mut self) -> Result<Vec<Record>, RunFileError> {
        let Some(bytes) = self.appended()? else {
            return Ok(Vec::new());
        };
        let mut rest = bytes.as_slice();
        if self.header.is_none() {
            let Some((header, records)) = rest.split_first_chunk::<HEADER_BYTES>() else {
                return self.refused_early(rest);
            };
            self.header = Some(self.checked(header)?);
            self.taken = HEADER_BYTES as u64;
            rest = records;
        }
        let (whole, _torn) = rest.as_chunks::<RECORD_BYTES>();
        let mut records = Vec::with_capacity(whole.len());
        for bytes in whole {
            let record = Record::decode(bytes).map_err(|what| RunFileError::Damaged {
                path: self.path.clone(),
                at_byte: self.taken,
                what,
            })?;
            records.push(record);
            self.taken += RECORD_BYTES as u64;
        }
        Ok(records)
    }

    /// What lies behind what was taken; `None` as long as there is no file.
    fn appended(&mut self) -> Result<Option<Vec<u8>>, RunFileError> {
        let failed = |source| RunFileError::Read { path: self.path.clone(), source };
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(error)),
            },
        };
        let len = file.metadata().map_err(failed)?.len();
        if len < self.taken {
            return Err(RunFileError::Cut { path: self.path.clone(), len, read: self.taken });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len - self.taken).unwrap_or_default());
        file.seek(SeekFrom::Start(self.taken)).map_err(failed)?;
        // No further than it was: what is appended meanwhile comes with the next poll.
        file.take(len - self.taken).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// A file that is shorter than a header and does not begin as one will never be ours.
    fn refused_early(&self, begun: &[u8]) -> Result<Vec<Record>, RunFileError> {
        let known = begun.len().min(MAGIC.len());
        if begun[..known] == MAGIC[..known] {
            return Ok(Vec::new());
        }
        let mut found = [0; MAGIC.len()];
        found[..known].copy_from_slice(&begun[..known]);
        Err(RunFileError::Foreign { path: self.path.clone(), found })
    }

    fn checked(&self, header: &[u8; HEADER_BYTES]) -> Result<Header, RunFileError> {
        let header = WireHeader::decode(header);
        let path = || self.path.clone();
        if header.magic != MAGIC {
            return Err(RunFileError::Foreign { path: path(), found: header.magic });
        }
        if header.version != VERSION {
            return Err(RunFileError::UnknownVersion { path: path(), found: header.version });
        }
        if usize::from(header.record_bytes) != RECORD_BYTES {
            let what = format!("its records are said to have {} bytes", header.record_bytes);
            return Err(RunFileError::Damaged { path: path(), at_byte: HEADER_BYTES as u64, what });
        }
        Ok(Header { pid: header.pid, begun_unix_ns: header.begun_unix_ns })
    }
}
