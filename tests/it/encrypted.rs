//! To servers that want TLS, and a Kafka that wants a password. Servers of its own; `make test` runs these with those of Kafka.

use crate::support::{Database, OwnServer, Worker, eventually, kafka_variables, run, serve_api};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// An authority of this test's own, which nobody else trusts.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Writes its certificate.
    fn new(file: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    /// The certificate of a server with this name, and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A key that only the server may read, as PostgreSQL wants it; it runs as another user when this is root.
fn give_to_postgres(key: &Path) {
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Safe: asks who this process runs as.
    if unsafe { libc::geteuid() } == 0 {
        let id = std::process::Command::new("id").args(["-u", "postgres"]).output().unwrap();
        chown(key, String::from_utf8(id.stdout).unwrap().trim().parse().ok(), None).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts a PostgreSQL of its own; make test runs it with those of kafka"]
async fn like_kafka_postgres_may_want_tls() {
    let own = OwnServer::new("postgres.sh");
    let [ours, other, certificate, key] =
        ["ca.pem", "other.pem", "server.pem", "server.key"].map(|name| own.path(name));
    Authority::new(&other);
    let (chain, secret) = Authority::new(&ours).sign("localhost");
    std::fs::write(&certificate, chain).unwrap();
    std::fs::write(&key, secret).unwrap();
    give_to_postgres(&key);
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ];
    let mut arguments = vec!["--fast"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    own.run("start", &arguments).await;
    let plain = own.run("url", &[]).await;

    // Nobody gets in without TLS from now on.
    let client = connect(&plain).await;
    let rules: String = client.query_one("SHOW hba_file", &[]).await.unwrap().get(0);
    let text = std::fs::read_to_string(&rules).unwrap();
    let strict: Vec<_> = text.lines().map(|line| line.replacen("host ", "hostssl ", 1)).collect();
    std::fs::write(&rules, strict.join("\n") + "\n").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually("the new rules", || async {
        tokio_postgres::connect(&plain, tokio_postgres::NoTls).await.is_err().then_some(())
    })
    .await;

    let by_name = plain.replace("127.0.0.1", "localhost");
    let migrate = async |url: String| {
        let output = run(&["migrate"], &[("DATABASE_URL", &url)]).await;
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let with = |url: &str, mode: &str, roots: &Path| format!("{url}?sslmode={mode}&sslrootcert={}", roots.display());
    for url in [
        // Whatever is not demanded is not checked, as with psql.
        plain.clone(),
        format!("{plain}?sslmode=require"),
        with(&plain, "verify-ca", &ours),
        with(&by_name, "verify-full", &ours),
    ] {
        let (code, said) = migrate(url.clone()).await;
        assert_eq!(code, Some(0), "{url}: {said}");
    }
    for url in [
        with(&plain, "verify-full", &ours),
        with(&by_name, "verify-full", &other),
        with(&by_name, "verify-ca", &other),
        // "require" with a file of certificates checks them.
        with(&by_name, "require", &other),
    ] {
        let (code, said) = migrate(url.clone()).await;
        assert_eq!(code, Some(1), "{url}: {said}");
        assert!(said.contains("check sslmode and sslrootcert"), "{url}: {said}");
    }
    let (code, said) = migrate(format!("{plain}?sslmode=disable")).await;
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = migrate(with(&plain, "verify-full", Path::new("/nowhere.pem"))).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("sslrootcert: /nowhere.pem cannot be read"), "{said}");
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts an Apache Kafka of its own; make test runs it"]
async fn kafka_may_want_tls_and_a_password() {
    let own = OwnServer::new("kafka.sh");
    let ca = own.path("ca.pem");
    let (chain, secret) = Authority::new(&ca).sign("127.0.0.1");
    let store = own.path("broker.pem");
    std::fs::write(&store, format!("{secret}{chain}")).unwrap();
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"broker\" password=\"b\" \
                 user_broker=\"b\" user_plain=\"p 1\";";
    let settings = [
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", store.display()),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", ca.display()),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512".to_owned(),
        "sasl.mechanism.inter.broker.protocol=PLAIN".to_owned(),
        format!("listener.name.sasl_ssl.plain.sasl.jaas.config={users}"),
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
            .to_owned(),
    ];
    let mut arguments = vec!["--protocol", "SASL_SSL"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    own.run("start", &arguments).await;
    let bootstrap = own.run("bootstrap", &[]).await;
    // A user who is known by a hash only, made with Kafka's own tool.
    let admin = own.path("admin.properties");
    let login = "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"broker\" password=\"b\";";
    std::fs::write(
        &admin,
        format!("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nssl.truststore.type=PEM\nssl.truststore.location={}\n{login}\n", ca.display()),
    )
    .unwrap();
    let admin = admin.to_str().unwrap();
    let added = [
        "--alter",
        "--add-config",
        "SCRAM-SHA-512=[password=hashed]",
        "--entity-type",
        "users",
        "--entity-name",
        "scram",
    ];
    let mut arguments = vec!["kafka.admin.ConfigCommand", "--bootstrap-server", &bootstrap, "--command-config", admin];
    arguments.extend(added);
    own.run("tool", &arguments).await;

    let database = Database::new().await;
    let people = "INSERT INTO person (first_name, last_name, company_name) VALUES ('a', 'b', 'c')";
    database.client().await.batch_execute(people).await.unwrap();
    let password = own.path("password");
    std::fs::write(&password, "p 1\n").unwrap();
    let mut reader = kafka_variables(&database, &bootstrap);
    reader.extend([
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
        ("KAFKA_CA_FILE", ca.to_str().unwrap().to_owned()),
        ("KAFKA_USERNAME", "scram".to_owned()),
        ("KAFKA_PASSWORD", "hashed".to_owned()),
    ]);
    let mut writer = kafka_variables(&database, &bootstrap);
    writer.extend([
        ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl".to_owned()),
        ("KAFKA_CA_FILE", ca.to_str().unwrap().to_owned()),
        ("KAFKA_SASL_MECHANISM", "PLAIN".to_owned()),
        ("KAFKA_USERNAME", "plain".to_owned()),
        ("KAFKA_PASSWORD_FILE", password.to_str().unwrap().to_owned()),
    ]);
    let (_api, url) = serve_api(&writer).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let location = json!({"person_id": 1, "latitude": 1.5, "longitude": 2.5});
    let answer = client.post(format!("{url}/api/locations")).json(&location).send().await.unwrap();
    assert_eq!(answer.status(), 202);

    // A wrong password is said, and told to nobody.
    let mut wrong = reader.clone();
    wrong.last_mut().unwrap().1 = "s3cret-and-wrong".to_owned();
    let refused = Worker::start(&wrong).await;
    // Readiness tells the last error. The log tells the first only, which on a busy machine is that nobody answers in time.
    eventually("the refusal", || async {
        let (status, said) = refused.ready().await;
        (status == 503 && said["checks"]["kafka"].as_str()?.contains("uthentication")).then_some(())
    })
    .await;
    assert!(!refused.program.log().contains("s3cret-and-wrong"), "{}", refused.program.log());
    drop(refused);

    let _worker = Worker::start(&reader).await;
    eventually("the location", || async {
        (database.number("SELECT count(*) FROM location").await == 1).then_some(())
    })
    .await;
}

/// However it is written: what demands TLS gets it or nothing.
#[tokio::test]
async fn tls_that_is_demanded_is_not_given_up() {
    let database = Database::new().await;
    let tls: String = database.client().await.query_one("SHOW ssl", &[]).await.unwrap().get(0);
    if tls == "on" {
        eprintln!("the server has TLS; skipped");
        return;
    }
    let url = database.url();
    let (user, password) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap().0.split_once(':').unwrap();
    let (port, name) = (database.port(), &database.name);
    for demanding in [
        format!("{url}?sslmode=require"),
        format!("{url}?application_name=a@b&sslmode=require"),
        format!("{url}?options=-c%20jit%3Doff&ssl=true"),
        format!("host=127.0.0.1 port={port} user={user} password='{password}' dbname={name} sslmode=require"),
        format!(
            r"host=127.0.0.1 port={port} user={user} password={password} dbname={name} application_name=a\ b sslmode = require"
        ),
    ] {
        let output = run(&["migrate", "--check"], &[("DATABASE_URL", &demanding)]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("check sslmode"), "{demanding}: {said}");
        assert!(!said.contains(password), "{said}");
    }
}
