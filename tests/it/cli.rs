//! The command line: help, exit statuses, and errors that say what to do.

use crate::support::{Database, Program, Proxy, Server, run};
use std::process::Output;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn help_lists_the_roles_and_every_option_has_a_variable() {
    let help = run(&["--help"], &[]).await;
    assert!(help.status.success());
    for role in [
        "serve-api",
        "serve-app",
        "serve-grpc",
        "openapi",
        "consume",
        "standalone",
        "maintain",
        "migrate",
        "seed",
        "import",
        "export",
        "simulate",
        "dead-letters",
        "healthcheck",
    ] {
        assert!(text(&help).lines().any(|line| line.trim_start().starts_with(role)), "{role}");
        // In lines as long as they like.
        let help = text(&run(&[role, "--help"], &[]).await).replace("\n      --", "\0");
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let without: Vec<&str> = help.split('\0').skip(1).filter(|option| !option.contains("[env: ")).collect();
        // What is asked for once, by hand.
        assert!(
            without.iter().all(|name| name.starts_with("check") || name.starts_with("revert")),
            "{role}: {without:?}"
        );
    }
    let version = run(&["--version"], &[]).await;
    assert_eq!(text(&version).trim(), format!("udaconnect {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn wrong_usage_has_status_2_and_says_what_is_allowed() {
    for (arguments, said) in [
        (&["nonsense"][..], "unrecognized subcommand"),
        (&["serve-api"], "--database-url"),
        (&["serve-api", "--database-url", "postgres://h/d", "--listen-addr", "30001"], "host:port"),
        (&["serve-api", "--database-url", "postgres://h/d", "--database-pool-size", "0"], "2..=1000"),
        (&["serve-app", "--api-url", "api.example.org"], "https://api.example.org, or /"),
        (&["serve-app", "--map-tile-url", "https://tile.example.org/"], "{z}, {x} and {y}"),
        (&["seed", "--database-url", "postgres://h/d", "--persons", "0"], "1..=1000000"),
        (&["maintain", "--database-url", "postgres://h/d", "--months-ahead", "13"], "0..=12"),
        (&["migrate", "--database-url", "postgres://h/d", "--log-filter", "a=b=c"], "RUST_LOG"),
    ] {
        let output = run(arguments, &[]).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(said), "{arguments:?}: {}", text(&output));
    }
}

#[tokio::test]
async fn no_secret_is_shown() {
    let url = "postgres://u:topsecret@127.0.0.1:1/d";
    for arguments in [&["serve-api", "--help"][..], &["migrate"], &["seed"]] {
        let output = run(arguments, &[("DATABASE_URL", url), ("RUST_LOG", "debug")]).await;
        assert!(!text(&output).contains("topsecret"), "{}", text(&output));
    }
    let output = run(&["migrate"], &[("DATABASE_URL", "postgres://u:topsecret@[::1/d")]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(!text(&output).contains("topsecret"), "{}", text(&output));
    let output = run(&["migrate", "--database-url", "mysql://u:topsecret@h/d"], &[]).await;
    assert!(text(&output).contains("postgres://user@host:5432/database"), "{}", text(&output));
    assert!(!text(&output).contains("topsecret"), "{}", text(&output));
}

#[tokio::test]
async fn what_an_operator_must_mend_ends_the_program_with_advice() {
    let database = Database::new().await;
    let port = database.port();
    let gone = format!("postgres://udaconnect:x@127.0.0.1:{port}/no_such_database");
    let wrong = database.url_as(port, "udaconnect", "wrong");
    let missing = database.url().replace(&database.name, "no_such_database");
    for role in ["serve-api", "standalone", "migrate", "seed"] {
        for (url, said) in [(&wrong, "DATABASE_PASSWORD_FILE"), (&missing, "createdb"), (&gone, "password")] {
            // A machine that is too busy to answer within the usual 5 s is not what is asked about.
            let mut variables = vec![("DATABASE_URL", url.as_str()), ("DATABASE_CONNECT_TIMEOUT", "60")];
            variables.extend(
                ["LISTEN_ADDR", "API_LISTEN_ADDR", "GRPC_LISTEN_ADDR", "APP_LISTEN_ADDR"]
                    .map(|name| (name, "127.0.0.1:0")),
            );
            let output = run(&[role], &variables).await;
            assert_eq!(output.status.code(), Some(1), "{role}: {}", text(&output));
            assert!(text(&output).contains(said), "{role}: {}", text(&output));
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let password = database.url().split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let without = database.url().replace(&format!(":{password}"), "");
    let path = file.path().to_str().unwrap();
    let output = run(&["migrate", "--check"], &[("DATABASE_URL", &without), ("DATABASE_PASSWORD_FILE", path)]).await;
    assert!(output.status.success(), "{}", text(&output));
    let output = run(&["migrate"], &[("DATABASE_URL", &without), ("DATABASE_PASSWORD_FILE", "/no/such/file")]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("/no/such/file"), "{}", text(&output));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let taken = server.api.strip_prefix("http://").unwrap();
    for (role, variable) in [("serve-api", "LISTEN_ADDR"), ("standalone", "API_LISTEN_ADDR")] {
        let output = run(&[role], &[("DATABASE_URL", &database.url()), (variable, taken)]).await;
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output);
        assert!(said.contains(variable) && said.contains(taken) && said.contains("choose another"), "{said}");
    }
}

#[tokio::test]
async fn migrations_go_up_once_however_many_start_and_come_down_again() {
    let database = Database::empty().await;
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str())];
    assert_eq!(run(&["migrate", "--check"], &variables).await.status.code(), Some(1));
    let at_once = futures_util::future::join_all((0..4).map(|_| run(&["migrate"], &variables))).await;
    for output in &at_once {
        assert!(output.status.success(), "{}", text(output));
    }
    assert_eq!(at_once.iter().filter(|output| text(output).contains("applied")).count(), 1);
    assert!(run(&["migrate", "--check"], &variables).await.status.success());
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename IN ('person', 'location')";
    assert_eq!(database.number(tables).await, 2);
    assert!(run(&["migrate", "--revert", "1000"], &variables).await.status.success());
    assert_eq!(database.number(tables).await, 0);
    assert!(run(&["migrate"], &variables).await.status.success());
}

#[tokio::test]
async fn healthcheck_tells_by_its_status() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let address = server.api.strip_prefix("http://").unwrap();
    assert!(run(&["healthcheck", "--listen-addr", address], &[]).await.status.success());
    let port = address.split_once(':').unwrap().1;
    assert!(run(&["healthcheck"], &[("LISTEN_ADDR", &format!("0.0.0.0:{port}"))]).await.status.success());
    let (deaf, _listener) = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap().to_string(), listener)
    };
    let output = run(&["healthcheck", "--listen-addr", &deaf, "--timeout", "1"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let unready = Program::start(
        &["serve-api"],
        &[("DATABASE_URL", "postgres://u@127.0.0.1:1/d"), ("LISTEN_ADDR", "127.0.0.1:0")],
    );
    let address = unready.logged("serving the API", "address").await;
    let output = run(&["healthcheck", "--listen-addr", &address], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("503"), "{}", text(&output));
}

#[tokio::test]
async fn the_configuration_can_be_checked_without_a_server() {
    let url = ("DATABASE_URL", "postgres://u:topsecret@127.0.0.1:1/d");
    let output = run(&["serve-api", "--check-config", "--request-timeout", "7"], &[url, ("LOG_FORMAT", "json")]).await;
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    for line in [
        "# udaconnect serve-api",
        "DATABASE_URL=(not shown) # environment",
        "LOG_FORMAT=json # environment",
        "REQUEST_TIMEOUT=7 # command line",
        "LISTEN_ADDR=127.0.0.1:30001 # default",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert!(!said.contains("topsecret"), "{said}");
    for (role, variables, wrong) in [
        ("serve-api", vec![url, ("LISTEN_ADDR", "nowhere:")], "host:port"),
        ("migrate", vec![("DATABASE_URL", "mysql://h/d")], "DATABASE_URL"),
        ("seed", vec![url, ("DATABASE_PASSWORD_FILE", "/no/such/file")], "/no/such/file"),
        ("standalone", vec![url, ("RUST_LOG", "a=b=c")], "RUST_LOG"),
    ] {
        let output = run(&[role, "--check-config"], &variables).await;
        assert_eq!(output.status.code(), Some(2), "{role}: {}", text(&output));
        assert!(text(&output).contains(wrong), "{role}: {}", text(&output));
    }
}

#[tokio::test]
async fn migrate_waits_for_a_database_that_is_not_there_yet() {
    let database = Database::empty().await;
    let network = Proxy::to(database.port()).await;
    network.cut();
    let url = database.url_at(network.port);
    let mut program = Program::start(&["migrate", "--wait", "600"], &[("DATABASE_URL", &url)]);
    program.logged("waiting for the database", "error").await;
    network.mend();
    assert!(program.ended().await.success(), "{}", program.log());
    assert!(run(&["migrate", "--check"], &[("DATABASE_URL", &database.url())]).await.status.success());
}

/// Only Linux has a whole network of addresses for itself.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_alone_means_the_usual_ports() {
    let database = Database::new().await;
    // An address that nobody else uses now, whatever its ports are.
    let host = format!("127.{}.{}.{}", std::process::id() % 200 + 20, database.port() % 250, database.port() / 250 + 2);
    let nobody = run(&["healthcheck", "--listen-addr", &host], &[]).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody).contains("nothing listens"), "{}", text(&nobody));
    let api = Program::start(&["serve-api"], &[("DATABASE_URL", &database.url()), ("LISTEN_ADDR", &host)]);
    assert_eq!(api.logged("serving the API", "address").await, format!("{host}:30001"));
    let well = run(&["healthcheck"], &[("LISTEN_ADDR", &host)]).await;
    assert!(well.status.success(), "{}", text(&well));
    // One that is not ready is enough.
    let other =
        [("DATABASE_URL", "postgres://u@127.0.0.1:1/d"), ("KAFKA_BOOTSTRAP", "127.0.0.1:1"), ("LISTEN_ADDR", &host)];
    let worker = Program::start(&["consume"], &other);
    worker.logged("consuming; probes and metrics are here", "address").await;
    let ill = run(&["healthcheck"], &[("LISTEN_ADDR", &host)]).await;
    assert_eq!(ill.status.code(), Some(1));
    assert!(text(&ill).contains(":30003"), "{}", text(&ill));
}
