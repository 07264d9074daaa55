//! What tools write to standard output. Whoever reads may have had enough (`| head`): that is no error, and nothing that is under way
//! ends by it.

use anyhow::Context;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Writes all of it at once; false when nobody reads any more.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> anyhow::Result<bool> {
    let mut bytes = Vec::new();
    write(&mut bytes).context("a text cannot be written")?;
    let mut out = std::io::stdout().lock();
    match out.write_all(&bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("standard output"),
    }
}

/// Writes a line.
pub(super) fn line(text: impl Display) -> anyhow::Result<()> {
    print(|out| writeln!(out, "{text}")).map(drop)
}
