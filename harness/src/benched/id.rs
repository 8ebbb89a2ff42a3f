//! What a benchmark of the pipeline is called in criterion's files, and what is read from that name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Criterion's group of the pipeline's benchmarks.
pub const PIPELINE: &str = "pipeline";

/// What is drained, apart from partitions and consumers: `embedded, record, 2 ms modelled`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PipelineId {
    /// Such as `embedded`.
    pub stack: String,
    /// Such as `record`.
    pub mode: String,
    /// Modelled downstream call an event; zero for none.
    pub service_time: Duration,
}

impl PipelineId {
    /// The modelled call in ms.
    pub fn service_time_ms(&self) -> f64 {
        self.service_time.as_secs_f64() * 1e3
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, ", self.stack, self.mode)?;
        if self.service_time.is_zero() {
            f.write_str("nothing modelled")
        } else {
            write!(f, "{} ms modelled", self.service_time_ms())
        }
    }
}

/// Not the name of a benchmark of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form `embedded, record, 2 ms modelled`")]
pub struct NoPipelineId(String);

impl FromStr for PipelineId {
    type Err = NoPipelineId;

    fn from_str(text: &str) -> Result<Self, NoPipelineId> {
        let parts: Vec<&str> = text.split(", ").collect();
        let [stack, mode, modelled] = parts[..] else { return Err(NoPipelineId(text.into())) };
        let service_time = if modelled == "nothing modelled" {
            Some(Duration::ZERO)
        } else {
            let ms = modelled.strip_suffix(" ms modelled").and_then(|ms| ms.parse::<f64>().ok());
            ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()).filter(|time| !time.is_zero())
        };
        let service_time = service_time.ok_or_else(|| NoPipelineId(text.into()))?;
        Ok(Self { stack: stack.into(), mode: mode.into(), service_time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_it_prints() {
        for (us, text) in [
            (0, "embedded, record, nothing modelled"),
            (2000, "embedded, record, 2 ms modelled"),
            (500, "embedded, record, 0.5 ms modelled"),
        ] {
            let service_time = Duration::from_micros(us);
            let id = PipelineId { stack: "embedded".into(), mode: "record".into(), service_time };
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "native",
            "native, record",
            "native, record, 2 ms",
            "native, record, -1 ms modelled",
            "a, b, c, d",
        ] {
            assert!(text.parse::<PipelineId>().is_err(), "{text}");
        }
    }
}
