//! The receipt for a location that was queued in Kafka.

use crate::domain::{Error, quoted};
use crate::stream::RecordOffset;

/// What a caller gets for a location that is queued: its offset in Kafka, so nothing need be kept for it. The location's fate follows
/// from whether the workers have come to that offset, and whether they set the record aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt(RecordOffset);

impl From<RecordOffset> for Receipt {
    fn from(offset: RecordOffset) -> Self {
        Self(offset)
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
                Some(RecordOffset { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
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
        let receipt = Receipt(RecordOffset { partition: 11, offset: 123_456_789_012 });
        assert_eq!(receipt.to_string().parse::<Receipt>().unwrap(), receipt);
        for wrong in ["", "1", "1-", "-1", "1-2-3", "1-+2", "99999999999-1", "1-99999999999999999999"] {
            assert!(wrong.parse::<Receipt>().is_err(), "{wrong:?}");
        }
    }
}
