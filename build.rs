//! Nothing is built here: this only tells cargo when the web app that is embedded in the binary has changed.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The build of the web app may be missing. A path that does not exist would make cargo build anew every time, so
    // that then the directory is watched in which it will appear.
    let watched = ["web/dist", "web"].into_iter().find(|path| Path::new(path).is_dir());
    if let Some(path) = watched {
        println!("cargo::rerun-if-changed={path}");
    }
}
