//! Finds the files that the command line names.

use crate::codec::files::{Who, owntracks};
use anyhow::{Context, ensure};
use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

/// One input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// `None` for standard input.
    path: Option<PathBuf>,
    /// As it is stored, packed or not; `None` when nobody knows.
    pub bytes: Option<u64>,
}

/// What files in a directory end with when they are meant; before it may stand anything, behind it `.gz` or `.zst`.
const EXTENSIONS: &[&str] = &[
    "gpx", "tcx", "kml", "kmz", "fit", "nmea", "geojson", "json", "geojsonl", "geojsons", "jsonl", "ndjson", "csv",
    "tsv", "rec", "plt", "zip",
];

/// The files that are named or in a directory that is, each once a name, in the order of their names.
///
/// With them come the files of directories that are left out, since nothing that is known has their names.
pub fn find(paths: &[PathBuf]) -> anyhow::Result<(Vec<Input>, Vec<String>)> {
    let mut inputs = Vec::new();
    let mut left_out = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input { path: None, bytes: None });
            continue;
        }
        let metadata = path.metadata().with_context(|| path.display().to_string())?;
        if metadata.is_dir() {
            let before = inputs.len();
            walk(path, &mut inputs, &mut left_out)?;
            ensure!(
                inputs.len() > before,
                "{}: holds no file whose name ends with one of {} (and .gz or .zst, if it is packed)",
                path.display(),
                EXTENSIONS.join(", ")
            );
        } else {
            // A pipe has no length.
            let bytes = metadata.is_file().then_some(metadata.len());
            inputs.push(Input { path: Some(path.clone()), bytes });
        }
    }
    ensure!(inputs.iter().filter(|input| input.path.is_none()).count() <= 1, "- is given more than once");
    Ok((inputs, left_out))
}

/// Links to directories are not followed: they may lead round in a circle.
fn walk(directory: &Path, inputs: &mut Vec<Input>, left_out: &mut Vec<String>) -> anyhow::Result<()> {
    let shown = || directory.display().to_string();
    let mut entries =
        std::fs::read_dir(directory).with_context(shown)?.collect::<Result<Vec<_>, _>>().with_context(shown)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().with_context(shown)?);
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            walk(&path, inputs, left_out)?;
        } else if is_meant(&path) && path.is_file() {
            let bytes = path.metadata().with_context(shown)?.len();
            inputs.push(Input { path: Some(path), bytes: Some(bytes) });
        } else {
            left_out.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Whether a file of this name may hold locations.
pub fn is_meant(path: &Path) -> bool {
    let extension =
        |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let mut end = extension(path);
    if matches!(end.as_str(), "gz" | "zst") {
        end = extension(&path.with_extension(""));
    }
    EXTENSIONS.contains(&end.as_str())
}

impl Input {
    /// Where it is; nowhere when it is the standard input.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// As messages name it.
    pub fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "standard input".to_owned(),
        }
    }

    pub fn open(&self) -> std::io::Result<Box<dyn Read>> {
        Ok(match &self.path {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(stdin().lock()),
        })
    }

    /// Whose OwnTracks Recorder's file this is: it keeps them as `…/USER/DEVICE/2026-06.rec`.
    pub fn who(&self) -> Option<Who> {
        let path = self.path.as_ref()?;
        let name = path.file_name()?.to_str()?;
        let month = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(name).strip_suffix(".rec")?;
        let is_month = month.len() == 7 && month.bytes().all(|c| c.is_ascii_digit() || c == b'-');
        let device = path.parent()?;
        let user = device.parent()?.file_name()?.to_str()?;
        is_month.then_some(Who::Key(owntracks::key(user, device.file_name()?.to_str()?).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_searched_for_what_is_meant() {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        for name in ["b.csv.gz", "a.GPX", "notes.txt", ".hidden.csv", "rec/ada/phone/2026-06.rec", "pack.gz"] {
            make(name);
        }
        let (found, left_out) = find(&[directory.path().to_owned(), PathBuf::from("-")]).unwrap();
        let names: Vec<String> =
            found.iter().map(|input| input.name().replace(&format!("{}/", directory.path().display()), "")).collect();
        assert_eq!(names, ["a.GPX", "b.csv.gz", "rec/ada/phone/2026-06.rec", "standard input"]);
        let left_out: Vec<_> = left_out.iter().filter_map(|path| Path::new(path).file_name()?.to_str()).collect();
        assert_eq!(left_out, ["notes.txt", "pack.gz"]);
        assert_eq!(found[2].who(), Some(Who::Key("owntracks:ada/phone".into())));
        assert_eq!(found[0].who(), None);
        assert!(find(&[directory.path().join("none")]).is_err());
        assert!(find(&[PathBuf::from("-"), PathBuf::from("-")]).is_err());
        let empty = tempfile::tempdir().unwrap();
        assert!(find(&[empty.path().to_owned()]).unwrap_err().to_string().contains("geojson"));
    }
}
