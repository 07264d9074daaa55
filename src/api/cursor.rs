//! Where the next page begins, as an opaque text.
//!
//! A cursor holds a position (the sort key of the last item seen), not a count of items, so that pages neither repeat nor
//! skip what was there from the beginning when rows are added between them. It also holds what was asked, as a hash: with
//! other filters the position would mean something else.

use crate::domain::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a list was asked for, without its limit and cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question(u64);

impl Question {
    /// `list` names the list, `filters` everything that decides what is in it.
    pub fn new(list: &str, filters: &[&str]) -> Self {
        // FNV-1a, 64 bits (draft-eastlake-fnv): the same on every machine and in every version, which std's hashers are not.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for text in [list].iter().chain(filters) {
            text.bytes().for_each(&mut eat);
            eat(0xff); // in no UTF-8 text, so that ("ab", "c") is not ("a", "bc")
        }
        Self(hash)
    }
}

/// Writes a position of up to a few numbers.
pub fn write(question: Question, position: &[i64]) -> String {
    let bytes: Vec<u8> =
        question.0.to_be_bytes().into_iter().chain(position.iter().flat_map(|number| number.to_be_bytes())).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a position of `N` numbers that [`write`] wrote for the same question.
pub fn read<const N: usize>(question: Question, text: &str) -> Result<[i64; N], Error> {
    let broken =
        || Error::invalid("cursor", "is not a cursor of this list; take it from the Link header of the page before");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| broken())?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    let [of, position @ ..] = numbers else { return Err(broken()) };
    if !rest.is_empty() || position.len() != N {
        return Err(broken());
    }
    if u64::from_be_bytes(*of) != question.0 {
        return Err(Error::invalid("cursor", "belongs to another list or to other filters; begin without one"));
    }
    Ok(std::array::from_fn(|i| i64::from_be_bytes(position[i])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_foreign_one_does_not() {
        let mine = Question::new("persons", &["ada"]);
        let text = write(mine, &[42, -7]);
        assert_eq!(read::<2>(mine, &text).unwrap(), [42, -7]);
        assert!(read::<1>(mine, &text).is_err());
        assert!(read::<2>(Question::new("persons", &["bob"]), &text).is_err());
        assert!(read::<2>(Question::new("person", &["sada"]), &text).is_err());
        for broken in ["", "!", "AAAA", &text[1..], &format!("{text}A")] {
            assert!(read::<2>(mine, broken).is_err(), "{broken}");
        }
    }
}
