//! Unpacks a record batch piece by piece: however large it would become, memory is bounded.

use super::Compression;
use bytes::{Buf, Bytes};
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// What is read and unpacked at once.
const PIECE: usize = 32 << 10;
/// The largest window of zstd: what its specification asks of every reader, and enough for levels up to 19.
const ZSTD_WINDOW_LOG: u32 = 23;
/// The most that one block of Snappy may become. Without blocks, as librdkafka writes it, a batch is one; with them, as Java does,
/// they have 32 KiB.
const SNAPPY_MOST: usize = 16 << 20;
const SNAPPY_BLOCK_MOST: usize = 1 << 20;
/// What Java's Snappy begins with; two numbers of versions follow.
const SNAPPY_MAGIC: &[u8] = b"\x82SNAPPY\0";
const SNAPPY_HEADER: usize = 16;

/// How much memory [`open`] takes at the most, in bytes. An estimate from the packed bytes' own header.
pub(super) fn cost(compression: Compression, packed: &[u8]) -> usize {
    let inside = match compression {
        Compression::None => 0,
        Compression::Gzip => 64 << 10,
        Compression::Snappy if packed.starts_with(SNAPPY_MAGIC) => SNAPPY_BLOCK_MOST,
        Compression::Snappy => snap::raw::decompress_len(packed).unwrap_or_default().min(SNAPPY_MOST),
        // The block's size in the frame's descriptor, kept twice.
        Compression::Lz4 => match packed.get(5).map(|descriptor| descriptor >> 4 & 7) {
            Some(size @ 4..=7) => 2 << (2 * size + 8),
            _ => 0,
        },
        Compression::Zstd => zstd_window(packed).unwrap_or_default().min(1 << ZSTD_WINDOW_LOG) as usize + (256 << 10),
    };
    inside + 4 * PIECE
}

/// The window of a zstd frame (RFC 8878, 3.1.1.1).
fn zstd_window(packed: &[u8]) -> Option<u64> {
    let descriptor = *packed.get(4)?;
    let after = packed.get(5..)?;
    if descriptor & 0x20 == 0 {
        let window = *after.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: its size is its window.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = after.get(dictionary..)?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Some(match descriptor >> 6 {
        0 => number(size.get(..1)?),
        1 => number(size.get(..2)?) + 256,
        2 => number(size.get(..4)?),
        _ => number(size.get(..8)?),
    })
}

/// Something to read the unpacked bytes from; they are made as they are read.
pub(super) fn open(compression: Compression, packed: Bytes) -> io::Result<Box<dyn BufRead + Send>> {
    fn buffered(reader: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
        Box::new(BufReader::with_capacity(PIECE, reader))
    }
    let packed = Cursor::new(packed);
    Ok(match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => buffered(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Snappy => Box::new(Snappy::new(packed.into_inner())),
        Compression::Lz4 => buffered(lz4::Decoder::new(packed)?),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            buffered(decoder)
        }
    })
}

/// Snappy in both of the ways in which Kafka's clients write it.
struct Snappy {
    packed: Bytes,
    /// Java's blocks, each with its length before it; or all in one.
    blocks: bool,
    block: Vec<u8>,
    at: usize,
}

impl Snappy {
    fn new(mut packed: Bytes) -> Self {
        let blocks = packed.starts_with(SNAPPY_MAGIC);
        if blocks {
            packed.advance(SNAPPY_HEADER.min(packed.len()));
        }
        Self { packed, blocks, block: Vec::new(), at: 0 }
    }

    fn unpack_block(&mut self) -> io::Result<()> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let (length, most) = if self.blocks {
            let length = self.packed.try_get_i32().map_err(|_| io::ErrorKind::UnexpectedEof)?;
            (
                usize::try_from(length).map_err(|_| wrong(format!("snappy: a block of {length} bytes")))?,
                SNAPPY_BLOCK_MOST,
            )
        } else {
            (self.packed.len(), SNAPPY_MOST)
        };
        if length > self.packed.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let packed = self.packed.split_to(length);
        let size = snap::raw::decompress_len(&packed).map_err(|error| wrong(error.to_string()))?;
        if size > most {
            return Err(wrong(format!("snappy: a block becomes {size} bytes, at most {most} are unpacked")));
        }
        self.block.resize(size, 0);
        self.at = 0;
        snap::raw::Decoder::new().decompress(&packed, &mut self.block).map_err(|error| wrong(error.to_string()))?;
        Ok(())
    }
}

impl BufRead for Snappy {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.block.len() && !self.packed.is_empty() {
            self.block.clear();
            self.at = 0;
            self.unpack_block()?;
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.block.len());
    }
}

impl Read for Snappy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMPRESSIONS: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    fn read(compression: Compression, packed: Vec<u8>, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open(compression, packed.into())?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn both_ways_of_snappy_are_read() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        let pack = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
        assert_eq!(read(Compression::Snappy, pack(&text), u64::MAX).unwrap(), text);
        let mut java = SNAPPY_MAGIC.to_vec();
        java.extend([0, 0, 0, 1, 0, 0, 0, 1]);
        for block in text.chunks(32 << 10) {
            let packed = pack(block);
            java.extend((packed.len() as i32).to_be_bytes());
            java.extend(packed);
        }
        assert_eq!(read(Compression::Snappy, java, u64::MAX).unwrap(), text);
    }

    #[test]
    fn a_claim_of_snappy_is_not_believed() {
        // A varint of four GB less one, and nothing behind it.
        let claim = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(cost(Compression::Snappy, &claim) <= SNAPPY_MOST + 4 * PIECE);
        assert!(read(Compression::Snappy, claim, u64::MAX).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn a_window_of_zstd_is_bounded() {
        let pack = |log: u32, bytes: &[u8]| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        };
        let (small, large) = (pack(21, &[7; 100]), pack(27, &[7; 100]));
        assert_eq!((zstd_window(&small), zstd_window(&large)), (Some(1 << 21), Some(1 << 27)));
        assert_eq!(read(Compression::Zstd, small, u64::MAX).unwrap(), [7; 100]);
        assert!(read(Compression::Zstd, large, u64::MAX).is_err());
        let single = zstd::bulk::compress(&[7; 1_000], 3).unwrap();
        assert_eq!(zstd_window(&single), Some(1_000));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_read_is_bounded(
            compression in proptest::sample::select(&COMPRESSIONS), mut bytes: Vec<u8>, begin: bool,
        ) {
            let magic: &[u8] = match compression {
                Compression::None => b"",
                Compression::Gzip => b"\x1f\x8b\x08\0\0\0\0\0\0\0",
                Compression::Snappy => b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01",
                Compression::Lz4 => b"\x04\x22\x4d\x18\x60\x40\x82",
                Compression::Zstd => b"\x28\xb5\x2f\xfd",
            };
            if begin {
                bytes.splice(0..0, magic.iter().copied());
            }
            prop_assert!(cost(compression, &bytes) < 20 << 20);
            if let Ok(read) = read(compression, bytes, 1 << 20) {
                prop_assert!(read.len() <= 1 << 20);
            }
        }
    }
}
