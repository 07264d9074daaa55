//! Little that becomes much: packed by hand, so that making it takes neither time nor memory.

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Bytes that are repeated.
const FILL: u8 = b' ';
const BLOCK: usize = 1024 * 1024;

/// A gzip file of `head` and this many MiB of blanks.
pub fn gzip(head: &[u8], mib: usize) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut crc = Crc::new();
    let mut add = |bytes: &[u8], times: usize| {
        let mut block = Vec::with_capacity(bytes.len() + 1024);
        // After a full flush a block begins at a byte and refers to nothing before it, so that it can be repeated.
        Compress::new(Compression::best(), false).compress_vec(bytes, &mut block, FlushCompress::Full).unwrap();
        let mut one = Crc::new();
        one.update(bytes);
        for _ in 0..times {
            packed.extend_from_slice(&block);
            crc.combine(&one);
        }
    };
    add(head, 1);
    add(&vec![FILL; BLOCK], mib);
    packed.extend_from_slice(&[3, 0]);
    packed.extend_from_slice(&crc.sum().to_le_bytes());
    packed.extend_from_slice(&crc.amount().to_le_bytes());
    packed
}

/// A zstd frame of `head` and this many MiB of blanks: four bytes for each 128 KiB.
pub fn zstd(head: &[u8], mib: usize) -> Vec<u8> {
    const MOST: usize = 128 * 1024;
    // No size, no checksum; a window of 128 KiB.
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let header = |size: usize, kind: u32, last: bool| ((size as u32) << 3 | kind << 1 | u32::from(last)).to_le_bytes();
    for part in head.chunks(MOST) {
        packed.extend_from_slice(&header(part.len(), 0, false)[..3]);
        packed.extend_from_slice(part);
    }
    for block in 1..=mib * 8 {
        packed.extend_from_slice(&header(MOST, 1, block == mib * 8)[..3]);
        packed.push(FILL);
    }
    packed
}

/// 256 MiB of blanks behind a `[`, in 209 bytes of brotli.
pub fn brotli() -> Vec<u8> {
    const PACKED: &str = "cfffff7f00a440b6e2b24070efffe3ffff3f001200715800baf7fffcffff074002200e0b40f7fe9fffffff004800c46101e8defff3\
        ffff1f000980382c00ddfb7ffeffff032001108705a07bffcfffff7f002400e2b00074effff9ffff0f8004401c1680eefd3fffffff01900088c302d0bd\
        ffe7ffff3f001200715800baf7fffcffff074002200e0b40f7fe9fffffff004800c46101e8defff3ffff1f000980382c00ddfb7ffeffff032001108705\
        a07bffcfffff7f002400e2b00074effff9ffff0f8004401c1680eefd3f0000022003";
    (0..PACKED.len()).step_by(2).map(|at| u8::from_str_radix(&PACKED[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn they_become_what_they_say() {
    use std::io::Read;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*gzip(b"[1,", 3)).read_to_end(&mut text).unwrap();
    assert!(text.starts_with(b"[1,  ") && text.len() == 3 + 3 * BLOCK);
    assert!(gzip(b"[", 100).len() < 200_000);
    assert_eq!(zstd(b"[", 1_000).len(), 6 + 4 + 32_000);
    assert_eq!(brotli().len(), 209);
}
