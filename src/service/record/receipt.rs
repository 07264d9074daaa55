use crate::domain::{Error, quoted};
use crate::stream::Place;

/// What a caller gets for a location that is queued. It names the place in Kafka, so nothing need be kept for it: whether the
/// workers have come that far, and whether they set it aside, tells what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt(Place);

impl From<Place> for Receipt {
    fn from(place: Place) -> Self {
        Self(place)
    }
}

impl Receipt {
    pub fn partition(self) -> i32 {
        self.0.partition
    }

    pub fn offset(self) -> i64 {
        self.0.offset
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0.partition, self.0.offset)
    }
}

impl std::str::FromStr for Receipt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once('-')
            .filter(|(partition, offset)| digits(partition) && digits(offset))
            .and_then(|(partition, offset)| {
                Some(Place { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
            })
            .map(Self)
            .ok_or_else(|| {
                Error::invalid("receipt", format!("must be a receipt such as 3-12345; got {}", quoted(text)))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_written_and_read() {
        let receipt = Receipt(Place { partition: 11, offset: 123_456_789_012 });
        assert_eq!(receipt.to_string().parse::<Receipt>().unwrap(), receipt);
        for wrong in ["", "1", "1-", "-1", "1-2-3", "1-+2", "99999999999-1", "1-99999999999999999999"] {
            assert!(wrong.parse::<Receipt>().is_err(), "{wrong:?}");
        }
    }
}
