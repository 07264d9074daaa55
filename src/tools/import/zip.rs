//! ZIP archives of files with locations, such as KMZ and the exports of sports portals.

use super::files::is_meant;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Archives with more files than this are not read: the list of an archive's files is held in memory.
const MOST_FILES: u64 = 50_000;
/// How long that list may be in the archive, bytes.
const LONGEST_LIST: u64 = 16 << 20;

/// Whether a file begins as an archive does.
pub fn is_archive(path: &Path) -> bool {
    let mut magic = [0; 4];
    // A pipe could not be read once more.
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && matches!(magic, [b'P', b'K', 3, 4] | [b'P', b'K', 5, 6])
}

/// An archive, and the names of its files.
pub struct Archive {
    zip: ::zip::ZipArchive<File>,
    names: Vec<String>,
}

impl Archive {
    /// The error is a sentence for people.
    pub fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let list = list(&mut file).map_err(|error| error.to_string())?;
        if list.is_none_or(|(count, bytes)| count > MOST_FILES || bytes > LONGEST_LIST) {
            return Err(format!("is a ZIP archive of more than {MOST_FILES} files, or a damaged one; unpack it first"));
        }
        let damaged = |error: ::zip::result::ZipError| format!("is a damaged ZIP archive: {error}");
        let zip = ::zip::ZipArchive::new(file).map_err(damaged)?;
        let names = (0..zip.len())
            .map(|at| zip.name_for_index(at).transpose().map(|name| name.unwrap_or_default().into_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(damaged)?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        if has("xl/workbook.xml") {
            return Err("is an Excel file; save it as CSV".to_owned());
        }
        if has("[Content_Types].xml") || has("mimetype") {
            return Err("is a document of an office program; save its table as CSV".to_owned());
        }
        let archive = Self { zip, names };
        if archive.meant().is_empty() {
            return Err("is a ZIP archive without a file whose name is that of a format with locations".to_owned());
        }
        Ok(archive)
    }

    /// Which files are meant, by number.
    pub fn meant(&self) -> Vec<usize> {
        let meant = |name: &str| is_meant(Path::new(name)) && !is_hidden(name);
        (0..self.names.len()).filter(|&at| meant(&self.names[at])).collect()
    }

    /// The names of the files that are not meant.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        let left_out = |name: &&str| !name.ends_with('/') && !is_hidden(name) && !is_meant(Path::new(name));
        self.names.iter().map(String::as_str).filter(left_out)
    }

    /// A file's name, and its content unpacked as it is read.
    pub fn file(&mut self, at: usize) -> (String, io::Result<Box<dyn Read + '_>>) {
        let name = self.names[at].clone();
        match self.zip.by_index(at) {
            Ok(file) => (name, Ok(Box::new(file))),
            Err(error) => (name, Err(io::Error::other(format!("cannot be unpacked: {error}")))),
        }
    }
}

/// What macOS puts beside files, and what begins with a dot.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

/// How many files the end of an archive says that there are, and how many bytes the list of them has; `None` where no end is found
/// or the numbers do not fit it.
fn list(file: &mut File) -> io::Result<Option<(u64, u64)>> {
    /// The record at the end with the longest comment.
    const LONGEST: u64 = 22 + 65_535;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut end = Vec::new();
    file.take(LONGEST).read_to_end(&mut end)?;
    file.seek(SeekFrom::Start(0))?;
    let record = end.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").and_then(|at| end.get(at + 10..at + 16));
    let numbers = record.map(|bytes| {
        let bytes = |at: usize| u64::from(bytes[at]);
        (bytes(0) | bytes(1) << 8, bytes(2) | bytes(3) << 8 | bytes(4) << 16 | bytes(5) << 24)
    });
    Ok(numbers.filter(|(count, _)| *count < 0xffff))
}
