//! Memory that is no longer needed goes back to the system, so that a process stays as small as what it holds.
//!
//! glibc's allocator keeps what was freed: with as many arenas as there are threads times eight, each with holes of many sizes, a
//! process that was busy in different ways takes several times what it ever held at once.

/// Tells the allocator so, and looks after it. To be called once, at the beginning.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    /// Threads that allocate at the same time need more than one; each costs holes of its own.
    const ARENAS: i32 = 2;
    /// Larger pieces come from the system, and go back at once, bytes. A part of a long answer is a few pieces of up to about this
    /// size; to have each part's from the system costs as much time as to write it.
    const FROM_THE_SYSTEM: i32 = 4 << 20;
    /// What an arena may keep at its end, bytes.
    const KEEP: i32 = 4 << 20;
    // Safe: no other thread is there yet, and the values are such as mallopt(3) knows. What it does not take it ignores.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, FROM_THE_SYSTEM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP);
    }
    // Without it the process works as well, and is larger.
    let _ = std::thread::Builder::new().name("memory".to_owned()).spawn(watch);
}

/// Other allocators are left to themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}

/// Gives back the holes in the arenas when the process has become large.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn watch() {
    const EVERY: std::time::Duration = std::time::Duration::from_secs(2);
    /// A process of this size is not worth the work, bytes.
    const LARGE: usize = 80 << 20;
    /// How much more than after the last time it must have become, bytes.
    const MORE: usize = 16 << 20;
    let mut least = LARGE;
    loop {
        std::thread::sleep(EVERY);
        if resident().is_some_and(|size| size > least) {
            // Safe: it may be called at any time by any thread.
            unsafe { libc::malloc_trim(0) };
            least = LARGE.max(resident().unwrap_or_default() + MORE);
        } else if let Some(size) = resident() {
            least = LARGE.max(least.min(size + MORE));
        }
    }
}

/// How much of the process is in memory, bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? << 10)
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_process_is_known() {
        assert!(resident().is_some_and(|size| size > 1 << 20));
    }
}
