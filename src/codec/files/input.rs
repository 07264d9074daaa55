//! The bytes of an input: unpacked, with lines counted, and bounded for each record.

use super::Broken;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

/// How much of an input is looked at to find out what it is, bytes.
const HEAD: usize = 64 << 10;
/// The largest window that a zstd input may ask for, as a power of two: 32 MB. Level 19 uses 8 MB.
const ZSTD_WINDOW: u32 = 25;

/// How an input is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Gzip,
    Zstd,
}

/// Unpacks gzip and zstd, by their magic numbers; what is neither passes as it is.
pub fn unpack<'a>(input: impl Read + 'a) -> io::Result<(Packing, Box<dyn Read + 'a>)> {
    let mut input = BufReader::with_capacity(HEAD, input);
    let mut magic = Vec::new();
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let packing = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        _ => Packing::None,
    };
    let input = Cursor::new(magic).chain(input);
    let unpacked: Box<dyn Read + 'a> = match packing {
        Packing::None => return Ok((packing, Box::new(input))),
        // Several members may follow each other, as `cat a.gz b.gz` makes them.
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(input)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
    };
    Ok((packing, Box::new(Unpacked { unpacked, packing })))
}

/// A decoder whose errors say what they mean.
struct Unpacked<'a> {
    unpacked: Box<dyn Read + 'a>,
    packing: Packing,
}

impl Read for Unpacked<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.unpacked.read(out).map_err(|error| {
            let name = match self.packing {
                Packing::None => "packed",
                Packing::Gzip => "gzip",
                Packing::Zstd => "zstd",
            };
            match error.kind() {
                io::ErrorKind::Interrupted => error,
                io::ErrorKind::UnexpectedEof => io::Error::other(format!("the {name} data are cut off")),
                _ => io::Error::other(format!("the {name} data are damaged: {error}")),
            }
        })
    }
}

/// Where the reading is. Shared by the input and whoever reads from it through a parser that owns the input.
#[derive(Clone, Default)]
pub(super) struct Place(Rc<State>);

#[derive(Default)]
struct State {
    newlines: Cell<u64>,
    record: Cell<usize>,
    limit: Cell<usize>,
}

impl Place {
    /// The line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.0.newlines.get() + 1
    }

    /// A record ends here: its bytes count no more.
    pub(super) fn mark(&self) {
        self.0.record.set(0);
    }

    /// How many bytes a record may have.
    pub(super) fn limit(&self, bytes: usize) {
        self.0.limit.set(bytes);
    }
}

/// An input that counts lines, and fails when a record does not end in time.
pub(super) struct Limited<R> {
    input: R,
    place: Place,
    /// An error is final: parsers that ask once more must not find an end where there is none.
    failed: Option<(io::ErrorKind, String)>,
}

/// What [`Limited::new`] makes of an input: with its head at hand.
pub(super) type Headed<R> = Limited<io::Chain<Cursor<Vec<u8>>, BufReader<R>>>;

impl<R: Read> Headed<R> {
    pub(super) fn new(input: R) -> Self {
        let input = Cursor::new(Vec::new()).chain(BufReader::with_capacity(HEAD, input));
        Self { input, place: Place::default(), failed: None }
    }

    /// The first bytes, without a byte order mark of UTF-8. They stay to be read. What is there before an error is enough: the
    /// error comes again in its place.
    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let (head, rest) = self.input.get_mut();
        let mut bytes = Vec::with_capacity(HEAD);
        let read = rest.take(HEAD as u64).read_to_end(&mut bytes);
        if let Err(error) = read {
            self.failed = Some((error.kind(), error.to_string()));
            if bytes.is_empty() {
                return Err(error);
            }
        }
        if bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        *head = Cursor::new(bytes.clone());
        Ok(bytes)
    }
}

impl<R: BufRead> Limited<R> {
    /// One more stage, such as a decoder, between the input and whoever reads it.
    pub(super) fn map<S: BufRead>(self, stage: impl FnOnce(Self) -> S) -> Limited<S> {
        // Counted and bounded behind the last stage.
        let place = Place::default();
        self.place.limit(usize::MAX);
        Limited { input: stage(self), place, failed: None }
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) fn broken(&self, error: &io::Error) -> Broken {
        Broken::at(self.place.line(), error.to_string())
    }
}

impl<R: BufRead> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let State { record, limit, .. } = &*self.place.0;
        if limit.get() > 0 && record.get() > limit.get() {
            let message = format!("a record has more than {} bytes, which is not allowed", limit.get());
            return Err(io::Error::other(message));
        }
        match self.input.fill_buf() {
            // Only at the end of what was read before it, the head of the input, does an early error count.
            Ok([]) if self.failed.is_some() => {}
            Ok(_) => return self.input.fill_buf(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.failed.get_or_insert((error.kind(), error.to_string()));
            }
        }
        let (kind, text) = self.failed.clone().unwrap_or((io::ErrorKind::Other, String::new()));
        Err(io::Error::new(kind, text))
    }

    fn consume(&mut self, amount: usize) {
        if amount > 0
            && let Ok(bytes) = self.input.fill_buf()
        {
            let seen = &bytes[..amount.min(bytes.len())];
            let newlines = memchr::memchr_iter(b'\n', seen).count() as u64;
            let state = &self.place.0;
            state.newlines.set(state.newlines.get() + newlines);
            state.record.set(state.record.get() + amount);
        }
        self.input.consume(amount);
    }
}

impl<R: BufRead> Read for Limited<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let amount = bytes.len().min(out.len());
        out[..amount].copy_from_slice(&bytes[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}
