//! Phones' streams.

use crate::support::{Database, Phone, Server, eventually, location, positions};
use tonic::Code;
use tonic::transport::Channel;
use udaconnect::codec::proto::NewLocation;

#[tokio::test]
async fn what_is_acknowledged_is_stored_and_what_is_refused_is_named() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    let mut sent = 0;
    for message in 0..50 {
        let locations = (0..100)
            .map(|i| {
                sent += 1;
                match i {
                    7 => NewLocation { latitude: Some(90.5), ..location(person, sent) },
                    8 => location(777_777, sent),
                    _ => location(person, sent),
                }
            })
            .collect();
        assert!(phone.send(locations).await, "message {message}");
    }
    phone.acknowledged(5_000).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4_900);
    let expected: Vec<u64> = (0..50).flat_map(|message| [message * 100 + 8, message * 100 + 9]).collect();
    assert_eq!(positions(&phone), expected);
    assert!(
        phone.refused[0].1.contains("latitude: must be a number from -90 to 90; got 90.5"),
        "{:?}",
        phone.refused[0]
    );
    assert!(phone.refused[1].1.contains("nobody has the id 777777"), "{:?}", phone.refused[1]);

    // Sent once more: a success, and stored once.
    assert!(phone.send((1..=5).map(|number| location(person, number)).collect()).await);
    phone.acknowledged(5_005).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM location").await, 4_900);
    phone.finish();
    assert!(phone.acknowledgement().await.unwrap().is_none(), "the stream ends when both sides are done");
}

#[tokio::test]
async fn a_message_with_too_many_locations_ends_the_stream_and_says_why() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    assert!(phone.send((0..10_001).map(|number| location(1, number)).collect()).await);
    let status = phone.acknowledgement().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("got 10001"), "{status:?}");
}

#[tokio::test]
async fn a_full_queue_makes_the_phone_wait_and_loses_nothing() {
    let database = Database::new().await;
    let server = Server::with(&[
        ("DATABASE_URL", &database.url()),
        ("INGEST_QUEUE", "10000"),
        ("DATABASE_STATEMENT_TIMEOUT", "600"),
    ])
    .await;
    let person = server.person().await;
    let blocking = database.client().await;
    blocking.batch_execute("BEGIN; LOCK TABLE location IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    // Until nothing more is taken: the queue is full, then the stream's window, then the channel.
    let mut sent = 0;
    let mut refusals = 0;
    while refusals < 20 {
        let batch: Vec<_> = (sent..sent + 1_000).map(|number| location(person, number)).collect();
        if phone.try_send(batch) {
            sent += 1_000;
            refusals = 0;
        } else {
            refusals += 1;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // polls
        }
        assert!(sent < 1_000_000, "the phone is never made to wait");
    }
    assert_eq!(phone.acknowledged, 0);
    blocking.batch_execute("COMMIT").await.unwrap();
    phone.acknowledged(sent as u64).await.unwrap();
    assert_eq!(database.number("SELECT count(*) FROM location").await, sent);
}

#[tokio::test]
async fn a_signal_ends_streams_after_what_was_taken_is_acknowledged() {
    let database = Database::new().await;
    let mut server = Server::start(&database).await;
    let person = server.person().await;
    let mut phone = Phone::connect(&server.grpc).await.unwrap();
    assert!(phone.send((1..=100).map(|number| location(person, number)).collect()).await);
    phone.acknowledged(100).await.unwrap();
    server.program.signal(libc::SIGTERM);
    let status = loop {
        match phone.acknowledgement().await {
            Ok(Some(())) => {}
            Ok(None) => panic!("ended as if all was well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(server.program.ended().await.success(), "{}", server.program.log());
    assert_eq!(database.number("SELECT count(*) FROM location").await, 100);
}

#[tokio::test]
async fn many_phones_share_a_connection() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let person = server.person().await;
    let channel = Channel::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let phones = (0..40).map(|number| {
        let channel = channel.clone();
        async move {
            let mut phone = Phone::on(channel).await.unwrap();
            for message in 0..10 {
                assert!(phone.send(vec![location(person, number * 10 + message)]).await);
            }
            phone.finish();
            phone.acknowledged(10).await.unwrap();
        }
    });
    futures_util::future::join_all(phones).await;
    assert_eq!(database.number("SELECT count(*) FROM location").await, 400);
    eventually("the streams' end", || async {
        let metrics = server.http.get(format!("{}/metrics", server.grpc)).send().await.unwrap().text().await.unwrap();
        metrics.contains("udaconnect_grpc_streams 0").then_some(())
    })
    .await;
}
