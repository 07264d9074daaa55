use super::DEADLINE;
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use udaconnect::codec::proto::location_service_client::LocationServiceClient;
use udaconnect::codec::proto::{NewLocation, StreamLocationsRequest, StreamLocationsResponse};

/// A location of a person; the same number gives the same one. West of 90 degrees, so that swapped coordinates fail.
pub fn location(person_id: i64, number: i64) -> NewLocation {
    NewLocation {
        person_id,
        latitude: Some(35.0 + number as f64 / 1e6),
        longitude: Some(-106.5 - number as f64 / 1e6),
        creation_time: Some(Timestamp { seconds: 1_780_000_000 + number, nanos: 0 }),
        accuracy_m: None,
    }
}

/// A phone's open stream.
pub struct Phone {
    send: Option<mpsc::Sender<StreamLocationsRequest>>,
    answers: Streaming<StreamLocationsResponse>,
    /// Up to which location everything is settled.
    pub acknowledged: u64,
    /// Positions and reasons of those refused.
    pub refused: Vec<(u64, String)>,
}

impl Phone {
    pub async fn connect(url: &str) -> Result<Self, Status> {
        let channel = Channel::from_shared(url.to_owned()).unwrap().connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        Self::on(channel).await
    }

    pub async fn on(channel: Channel) -> Result<Self, Status> {
        let (send, messages) = mpsc::channel(16);
        let answers =
            LocationServiceClient::new(channel).stream_locations(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self { send: Some(send), answers, acknowledged: 0, refused: Vec::new() })
    }

    /// Hands locations to the connection; waits when that takes no more. False when the stream has ended.
    pub async fn send(&self, locations: Vec<NewLocation>) -> bool {
        self.send.as_ref().unwrap().send(StreamLocationsRequest { locations }).await.is_ok()
    }

    /// Whether the connection takes locations without waiting.
    pub fn try_send(&self, locations: Vec<NewLocation>) -> bool {
        self.send.as_ref().unwrap().try_send(StreamLocationsRequest { locations }).is_ok()
    }

    /// Says that nothing more will come.
    pub fn finish(&mut self) {
        self.send = None;
    }

    /// Reads one acknowledgement; `None` at the stream's end.
    pub async fn acknowledgement(&mut self) -> Result<Option<()>, Status> {
        let answer = tokio::time::timeout(DEADLINE, self.answers.message()).await.expect("an answer")?;
        let Some(answer) = answer else { return Ok(None) };
        assert!(answer.acknowledged_through > self.acknowledged, "acknowledgements move on: {answer:?}");
        self.acknowledged = answer.acknowledged_through;
        for refused in answer.refused {
            assert!(refused.position <= self.acknowledged, "{refused:?}");
            let reasons: Vec<_> =
                refused.violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
            self.refused.push((refused.position, reasons.join("; ")));
        }
        Ok(Some(()))
    }

    /// Reads until this many are settled.
    pub async fn acknowledged(&mut self, count: u64) -> Result<(), Status> {
        while self.acknowledged < count {
            if self.acknowledgement().await?.is_none() {
                return Err(Status::unavailable("the stream has ended"));
            }
        }
        Ok(())
    }
}

/// The positions of those refused.
pub fn positions(phone: &Phone) -> Vec<u64> {
    phone.refused.iter().map(|(position, _)| *position).collect()
}
