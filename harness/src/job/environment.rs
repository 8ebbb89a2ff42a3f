//! The machine and the program, as a result names them.

use procfs::{CpuInfo, Current, LoadAverage, Meminfo, ProcError};

use crate::record::Environment;

/// The environment at this moment; its load average is the one "before", and `load_max` begins with it.
///
/// The commit and the rest of the build are those noted by `build.rs`: outside a repository of our own, what the build was
/// told, or "unknown", and then a tree also counts as dirty, since nothing says that it is not.
///
/// # Errors
/// [`ProcError`] when /proc cannot be read.
pub(crate) fn environment() -> Result<Environment, ProcError> {
    let cpu = CpuInfo::current()?;
    let load = load_average()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(Environment {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: env!("LANEBENCH_COMMIT").into(),
        dirty: env!("LANEBENCH_DIRTY") != "false",
        profile: env!("LANEBENCH_PROFILE").into(),
        rustc: env!("LANEBENCH_RUSTC").into(),
        // Arm has no such line.
        cpu: cpu.model_name(0).unwrap_or("unknown").into(),
        cores: cpu.num_cores(),
        memory_bytes: Meminfo::current()?.mem_total,
        kernel: kernel.trim().into(),
        load_before: load,
        load_max: load,
    })
}

/// The one-minute load average of this moment.
///
/// # Errors
/// [`ProcError`] when /proc cannot be read.
pub(crate) fn load_average() -> Result<f64, ProcError> {
    Ok(f64::from(LoadAverage::current()?.one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_filled_in() {
        let found = environment().unwrap();
        println!("{found:?}");
        assert!(found.commit == "unknown" || found.commit.len() >= 40);
        assert!(found.rustc.starts_with("rustc ") || found.rustc == "unknown");
        assert_eq!(found.profile, if cfg!(debug_assertions) { "debug" } else { "release" });
        assert!(found.cores >= 1 && found.memory_bytes > 1 << 26);
        assert!(found.kernel.split('.').count() >= 3, "{}", found.kernel);
        assert_eq!(found.load_before, found.load_max);
    }
}
