//! The images of the parts: by the variables that docker-compose.yml takes too, with the same pinned defaults.

/// Which image each part is started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Apache Kafka, by the environment that its official image understands.
    pub kafka: String,
    /// PostgreSQL, likewise.
    pub postgres: String,
    /// Redis: anything whose `redis-server` takes a configuration file.
    pub redis: String,
}

pub(super) const KAFKA: &str = "LANEBENCH_KAFKA_IMAGE";
pub(super) const POSTGRES: &str = "LANEBENCH_POSTGRES_IMAGE";
pub(super) const REDIS: &str = "LANEBENCH_REDIS_IMAGE";

impl Images {
    /// As `LANEBENCH_KAFKA_IMAGE`, `LANEBENCH_POSTGRES_IMAGE` and `LANEBENCH_REDIS_IMAGE` say; the official images where a
    /// variable is unset or empty.
    pub fn from_env() -> Self {
        Self::by(|variable| std::env::var(variable).ok())
    }

    fn by(variable: impl Fn(&str) -> Option<String>) -> Self {
        let image = |name: &str, default: &str| {
            variable(name).filter(|image| !image.trim().is_empty()).unwrap_or_else(|| default.to_owned())
        };
        Self {
            kafka: image(KAFKA, "apache/kafka:4.1.1"),
            postgres: image(POSTGRES, "postgres:17"),
            redis: image(REDIS, "redis:7.4"),
        }
    }
}

/// Name and tag, or name and digest, of an image: what the last colon parts, unless that is a registry's port.
#[cfg_attr(not(feature = "containers"), allow(dead_code))]
pub(super) fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, name: &str, tag: &str) {
        assert_eq!(split(image), (name, tag), "{image}");
    }

    #[test]
    fn an_image_has_a_name_and_a_tag_or_a_digest() {
        check("postgres:17", "postgres", "17");
        check("apache/kafka", "apache/kafka", "latest");
        check("127.0.0.1:5000/redis", "127.0.0.1:5000/redis", "latest");
        check("127.0.0.1:5000/redis:7", "127.0.0.1:5000/redis", "7");
        check("redis@sha256:0af1", "redis@sha256", "0af1");
    }

    #[test]
    fn variables_name_images_and_an_empty_one_does_not() {
        let images = Images::by(|variable| match variable {
            KAFKA => Some("mirror.test/kafka:4.1.1".to_owned()),
            POSTGRES => Some(" ".to_owned()),
            _ => None,
        });
        assert_eq!(images.kafka, "mirror.test/kafka:4.1.1");
        assert_eq!(images.postgres, "postgres:17");
        assert_eq!(images.redis, "redis:7.4");
    }
}
