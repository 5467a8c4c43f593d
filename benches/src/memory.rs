//! Memory of this process, as Linux tells it.

/// Bytes of memory in use, mapped file pages included; `None` where there is no `/proc`.
pub(crate) fn resident() -> Option<u64> {
    field("VmRSS:")
}

/// The most that it has been.
pub(crate) fn peak() -> Option<u64> {
    field("VmHWM:")
}

/// Bytes of memory of its own: neither shared nor mapped files.
pub(crate) fn anonymous() -> Option<u64> {
    field("RssAnon:")
}

fn field(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
