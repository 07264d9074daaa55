//! Compiles proto/ to Rust, with protox, so that nobody has to install protoc; puts migrations/ into the binary; and tells cargo
//! when the web app that is embedded in it has changed.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // The build of the web app may be missing. A path that does not exist would make cargo build anew every time, so
    // that then the directory is watched in which it will appear.
    let watched = ["web/dist", "web"].into_iter().find(|path| Path::new(path).is_dir());
    if let Some(path) = watched {
        println!("cargo::rerun-if-changed={path}");
    }
    if std::env::var_os("CARGO_FEATURE_STORE").is_some() {
        migrations()?;
    }
    protobuf()
}

/// Writes `MIGRATIONS`, oldest first, for `store/migrations.rs`.
fn migrations() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=migrations");
    let root = std::path::absolute("migrations")?;
    let mut names: Vec<String> = std::fs::read_dir(&root)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    let mut code = format!("const MIGRATIONS: [Migration; {}] = [\n", names.len());
    for name in &names {
        let version: String = name.split('_').next().unwrap_or_default().replace('-', "");
        let file = |file: &str| format!("include_str!({:?})", root.join(name).join(file));
        let (up, down) = (file("up.sql"), file("down.sql"));
        code += &format!("    Migration {{ version: {version:?}, name: {name:?}, up: {up}, down: {down} }},\n");
    }
    code += "];\n";
    Ok(std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("migrations.rs"), code)?)
}

#[cfg(feature = "codec")]
fn protobuf() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::PathBuf;

    let root = Path::new("proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join("udaconnect/v1"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let descriptors = protox::compile(&files, [root])?;

    // For reflection: the whole contract with its comments, as clients see it.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;

    // Without a role that speaks gRPC only the messages are wanted: Kafka has no services.
    let [grpc, simulate] = ["GRPC", "SIMULATE"].map(|role| std::env::var_os(format!("CARGO_FEATURE_{role}")).is_some());
    let mut code = tonic_prost_build::configure().build_server(grpc).build_client(grpc || simulate);
    if grpc {
        code = code.codec_path("crate::grpc::MessageCodec");
    }
    code.compile_fds(descriptors)?;
    Ok(())
}

#[cfg(not(feature = "codec"))]
fn protobuf() -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}
