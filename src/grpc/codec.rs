//! How gRPC messages are decoded: what a caller may make large is counted first, and what cannot be read is the caller's error.

use crate::codec::proto::StreamLocationsRequest;
use crate::service::record::MAX_REQUEST;
use prost::Message;
use prost::bytes::Buf;
use std::any::TypeId;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// What is kept for a call's messages from its beginning, bytes; it grows as they do. There may be thousands of calls.
const BUFFER: usize = 1 << 10;
/// How much is encoded before it is sent, bytes: tonic's own.
const SEND_AT: usize = 32 << 10;

/// The codec of the services that build.rs makes.
pub struct MessageCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for MessageCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static, U: Message + Default + 'static> tonic::codec::Codec for MessageCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER, SEND_AT)
}

/// Reads messages of one type.
pub struct MessageDecoder<U>(PhantomData<U>);

impl<U: Message + Default + 'static> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The one message of a caller's with a list in it. An empty item has two bytes, and takes forty times as much as a struct.
        if TypeId::of::<U>() == TypeId::of::<StreamLocationsRequest>() {
            let bytes = buffer.copy_to_bytes(buffer.remaining());
            let most = MAX_REQUEST as usize;
            let Some(items) = items(&bytes) else {
                return Err(Status::invalid_argument(
                    "the message cannot be read: it is cut short, or no protobuf of our time",
                ));
            };
            if items > most {
                let message = format!("must be at most {most} in one message; got {items}");
                return Err(super::status::of(crate::domain::Error::invalid("locations", message)));
            }
            return U::decode(bytes).map(Some).map_err(|error| unreadable::<U>(&error));
        }
        U::decode(buffer).map(Some).map_err(|error| unreadable::<U>(&error))
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

fn unreadable<U>(error: &prost::DecodeError) -> Status {
    let name = std::any::type_name::<U>().rsplit("::").next().unwrap_or("message");
    Status::invalid_argument(format!("the message must be a udaconnect.v1.{name}: {error}"))
}

/// How many fields that have a length there are at the top of a message; `None` if it cannot be read.
fn items(mut bytes: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !bytes.is_empty() {
        let key = varint(&mut bytes).filter(|key| key >> 3 > 0)?;
        let length = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => {
                count += 1;
                usize::try_from(varint(&mut bytes)?).ok()?
            }
            5 => 4,
            // Groups, which nobody writes any more and which may hold any number of items.
            _ => return None,
        };
        bytes = bytes.get(length..)?;
    }
    Some(count)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::proto::NewLocation;

    #[test]
    fn items_are_counted_before_they_are_made() {
        for count in [0, 1, 7, 300] {
            let location = NewLocation { person_id: 300, latitude: Some(1.0), ..NewLocation::default() };
            let message = StreamLocationsRequest { locations: vec![location; count] };
            assert_eq!(items(&message.encode_to_vec()), Some(count));
        }
        assert_eq!(items(&[0x0a, 5, 1]), None, "cut short");
        assert_eq!(items(&[0xff]), None);
        assert_eq!(
            items(&[0x08, 1, 0x0a, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0]),
            Some(2),
            "beside fields of other kinds"
        );
    }
}
