//! A `DATABASE_URL`: what its settings mean. How they are written is in [`settings`].

use super::settings::{self, Setting};
use crate::runtime::tls::{self, Verify};
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::config::{ChannelBinding, Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A `DATABASE_URL`, or why it is none. Its `Debug` shows no password.
///
/// A wrong one is kept here, because the command line's parser would repeat the text, password included, when it refuses it.
#[derive(Clone)]
pub struct DatabaseUrl(pub(super) Result<Parsed, String>);

/// What the text says.
#[derive(Clone)]
pub(super) struct Parsed {
    pub(super) config: tokio_postgres::Config,
    tls: Tls,
}

/// Whether and how connections are encrypted, in libpq's words: `sslmode` and `sslrootcert`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tls {
    mode: Mode,
    roots: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl std::str::FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(parse(text)))
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(parsed) => f.write_str(&describe(&parsed.config)),
            Err(why) => f.write_str(why),
        }
    }
}

impl Parsed {
    /// The connector for TLS; `None` where connections must not use TLS. The error is a sentence for operators.
    pub(super) fn tls(&self) -> Result<Option<MakeRustlsConnect>, String> {
        let verify = match (self.tls.mode, &self.tls.roots) {
            (Mode::Disable, _) => return Ok(None),
            (Mode::Prefer, _) | (Mode::Require, None) => Verify::Nothing,
            // As libpq has it, for the sake of what was written for older versions of it.
            (Mode::Require, Some(_)) | (Mode::VerifyCa, _) => Verify::Chain,
            (Mode::VerifyFull, _) => Verify::Full,
        };
        let config = tls::client(verify, self.tls.roots.as_deref()).map_err(|why| format!("sslrootcert: {why}"))?;
        Ok(Some(MakeRustlsConnect::new(config)))
    }
}

fn parse(text: &str) -> Result<Parsed, String> {
    let text = text.trim();
    let settings = if let Some(rest) = url_rest(text) { settings::of_url(rest)? } else { settings::of_pairs(text)? };
    let mut config = tokio_postgres::Config::new();
    let (mut mode, mut roots) = (None, None);
    let mut seen: Vec<&str> = Vec::new();
    for Setting { name, value } in &settings {
        // libpq takes the last one, others the first: whichever was not meant would win silently.
        if seen.contains(&name.as_str()) {
            return Err(format!("{name} is given more than once"));
        }
        seen.push(name);
        match name.as_str() {
            "sslmode" => mode = Some(mode_of(value)?),
            "sslrootcert" => roots = Some(value.as_str()),
            name => set(&mut config, name, value)?,
        }
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("names no host; write postgres://user@host:5432/database".to_owned());
    }
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
    if config.get_ports().len() > 1 && config.get_ports().len() != hosts {
        return Err(format!("port: there are {} for {hosts} hosts", config.get_ports().len()));
    }
    let tls = Tls::new(mode, roots)?;
    config.ssl_mode(match tls.mode {
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    Ok(Parsed { config, tls })
}

/// What follows the scheme, if it is a URL.
fn url_rest(text: &str) -> Option<&str> {
    text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))
}

impl Tls {
    fn new(mode: Option<Mode>, roots: Option<&str>) -> Result<Self, String> {
        match (mode, roots) {
            // As libpq has it: authorities that anybody may get a certificate from are worth something with the name only.
            (None | Some(Mode::VerifyFull), Some("system")) => Ok(Self { mode: Mode::VerifyFull, roots: None }),
            (Some(_), Some("system")) => Err("sslrootcert=system wants sslmode=verify-full".to_owned()),
            (_, Some("")) => Err("sslrootcert must not be empty; it is the name of a file, or system".to_owned()),
            (mode, roots) => Ok(Self { mode: mode.unwrap_or_default(), roots: roots.map(PathBuf::from) }),
        }
    }
}

/// Puts one setting, whose name and value are plain text, where it belongs. Errors never hold the value, which may be a secret
/// or a part of one.
fn set(config: &mut tokio_postgres::Config, name: &str, value: &str) -> Result<(), String> {
    fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
        value.parse().map_err(|_| format!("{name} must be a whole number of 0 or more"))
    }
    let seconds = |unit: fn(u64) -> Duration| number::<u32>(name, value).map(|n| (n > 0).then(|| unit(n.into())));
    match name {
        "user" => drop(config.user(value)),
        "password" => drop(config.password(value)),
        "dbname" if value.contains('=') || url_rest(value).is_some() => {
            return Err(
                "dbname must be the name of a database alone; other settings go behind ?, or beside it".to_owned()
            );
        }
        "dbname" => drop(config.dbname(value)),
        "host" => {
            for host in value.split(',') {
                if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "@?&=\"'".contains(c)) {
                    return Err("host must be the name of a host, an address or the directory of a socket".to_owned());
                }
                config.host(host);
            }
        }
        "hostaddr" => {
            for address in value.split(',') {
                let address = address.parse().map_err(|_| "hostaddr must be an IP address, or several with commas")?;
                config.hostaddr(address);
            }
        }
        "port" => {
            for port in value.split(',') {
                let port = if port.is_empty() { Ok(5432) } else { port.parse() };
                match port {
                    Ok(port) if port > 0 => drop(config.port(port)),
                    _ => return Err("port must be a number from 1 to 65535, or several with commas".to_owned()),
                }
            }
        }
        "options" => drop(config.options(value)),
        "application_name" => drop(config.application_name(value)),
        "connect_timeout" => {
            if let Some(time) = seconds(Duration::from_secs)? {
                config.connect_timeout(time);
            }
        }
        // In libpq's unit, which is another than that of the rest.
        "tcp_user_timeout" => {
            if let Some(time) = seconds(Duration::from_millis)? {
                config.tcp_user_timeout(time);
            }
        }
        "keepalives" => drop(config.keepalives(number::<u32>(name, value)? != 0)),
        "keepalives_idle" => {
            if let Some(time) = seconds(Duration::from_secs)? {
                config.keepalives_idle(time);
            }
        }
        "keepalives_interval" => {
            if let Some(time) = seconds(Duration::from_secs)? {
                config.keepalives_interval(time);
            }
        }
        "keepalives_count" | "keepalives_retries" => drop(config.keepalives_retries(number(name, value)?)),
        "sslnegotiation" => {
            let how = match value {
                "postgres" => SslNegotiation::Postgres,
                "direct" => SslNegotiation::Direct,
                _ => return Err("sslnegotiation must be postgres or direct".to_owned()),
            };
            config.ssl_negotiation(how);
        }
        "channel_binding" => {
            let how = match value {
                "disable" => ChannelBinding::Disable,
                "prefer" => ChannelBinding::Prefer,
                "require" => ChannelBinding::Require,
                _ => return Err("channel_binding must be disable, prefer or require".to_owned()),
            };
            config.channel_binding(how);
        }
        "target_session_attrs" => {
            let which = match value {
                "any" => TargetSessionAttrs::Any,
                "read-write" => TargetSessionAttrs::ReadWrite,
                "read-only" => TargetSessionAttrs::ReadOnly,
                _ => return Err("target_session_attrs must be any, read-write or read-only".to_owned()),
            };
            config.target_session_attrs(which);
        }
        "load_balance_hosts" => {
            let how = match value {
                "disable" => LoadBalanceHosts::Disable,
                "random" => LoadBalanceHosts::Random,
                _ => return Err("load_balance_hosts must be disable or random".to_owned()),
            };
            config.load_balance_hosts(how);
        }
        // What others of libpq's ask for is the case anyway.
        "gssencmode" if matches!(value, "disable" | "prefer") => {}
        "client_encoding" if matches!(value.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "auto") => {}
        "sslcert" | "sslkey" | "sslpassword" | "sslcertmode" => {
            return Err(format!("{name}: client certificates are not built in"));
        }
        name => return Err(format!("{name}: this value is not possible here; leave the parameter out")),
    }
    Ok(())
}

fn mode_of(text: &str) -> Result<Mode, String> {
    Ok(match text {
        "disable" => Mode::Disable,
        "prefer" => Mode::Prefer,
        "require" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        _ => {
            let shown: String = text.chars().take(20).collect();
            return Err(format!("sslmode must be disable, prefer, require, verify-ca or verify-full; got {shown:?}"));
        }
    })
}

/// Where it leads and as whom, without the password.
pub(super) fn describe(config: &tokio_postgres::Config) -> String {
    let names = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        names = config.get_hostaddrs().iter().map(ToString::to_string).collect();
    }
    let port = |i: usize| config.get_ports().get(i).or(config.get_ports().first()).copied().unwrap_or(5432);
    let hosts: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{name}:{}", port(i))).collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or("?");
    format!("{}/{database} as {}", hosts.join(","), config.get_user().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tls(text: &str) -> (Mode, Option<String>, SslMode) {
        let parsed = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let roots = parsed.tls.roots.map(|path| path.display().to_string());
        (parsed.tls.mode, roots, parsed.config.get_ssl_mode())
    }

    #[test]
    fn urls_say_how_connections_are_encrypted() {
        assert_eq!(tls("postgres://u@h/d"), (Mode::Prefer, None, SslMode::Prefer));
        assert_eq!(tls("postgresql://u:p?w@h/d?sslmode=disable"), (Mode::Disable, None, SslMode::Disable));
        assert_eq!(
            tls("postgres://u@h/d?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fetc%2Fmy%20ca.pem"),
            (Mode::VerifyFull, Some("/etc/my ca.pem".to_owned()), SslMode::Require)
        );
        assert_eq!(
            tls("host=h user=u sslmode=verify-ca sslrootcert=/ca"),
            (Mode::VerifyCa, Some("/ca".to_owned()), SslMode::Require)
        );
        assert_eq!(tls("postgres://h/d?sslmode=verify-full&sslrootcert=system").1, None);
        assert_eq!(tls("postgres://h/d?sslrootcert=system").0, Mode::VerifyFull);
        assert_eq!(tls("host=h user=u password='a sslmode=disable'").0, Mode::Prefer);
        assert_eq!(tls("host=h password='a b' sslmode=require").0, Mode::Require);
        assert_eq!(tls("postgres://h/d?application_name=a@b&sslmode=require").0, Mode::Require);
        assert_eq!(tls("postgres://h?options=a/b&sslmode=require").0, Mode::Require);
    }

    #[test]
    fn what_is_not_about_tls_stays() {
        let parsed = parse("postgres://u:p@h:1/d?application_name=x&sslmode=require&options=-c%20jit%3Don")
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(parsed.config.get_application_name(), Some("x"));
        assert_eq!(parsed.config.get_options(), Some("-c jit=on"));
        assert_eq!(parsed.config.get_password(), Some("p".as_bytes()));
    }

    #[test]
    fn errors_say_what_may_be_written() {
        for (text, what) in [
            ("postgres://u@h/d?sslmode=verify", "sslmode must be disable, prefer"),
            ("postgres://u@h/d?sslmode=", "sslmode must be disable, prefer"),
            ("host=h sslmode=''", "sslmode must be disable, prefer"),
            ("postgres://u@h/d?color=red", "color"),
            ("postgres://u@h/d?SSLMODE=require", "SSLMODE"),
            ("host=h color=red", "color"),
            ("nonsense", "is not a PostgreSQL URL"),
            ("POSTGRES://u:p@h/d?sslmode=require", "is not a PostgreSQL URL"),
            ("", "is not a PostgreSQL URL"),
            ("postgres:///d", "names no host"),
            ("postgres://h/d?sslcert=x", "sslcert: client certificates are not built in"),
            ("postgres://h/d?gssencmode=require", "gssencmode"),
            ("postgres://h/d?sslmode=require&sslrootcert=system", "sslmode=verify-full"),
            ("postgres://h/d?sslmode=disable&sslmode=require", "sslmode is given more than once"),
            ("host=a sslmode=require host=b", "host is given more than once"),
            ("postgres://h1,h2,h3:1/d?port=1", "port is given more than once"),
            ("host=a,b,c port=1,2", "port: there are 2 for 3 hosts"),
            ("postgres://h:x/d", "port must be"),
            ("postgres://h:0/d", "port must be"),
            ("postgres://h:65536/d", "port must be"),
            ("postgres://[::1/d", "IPv6"),
            ("postgres://[1.2.3.4]/d", "IPv6"),
            ("postgres://h/d?connect_timeout=-1", "connect_timeout must be a whole number"),
            ("postgres://h/%zz", "dbname has a %"),
            ("postgres://h/%00", "dbname must not hold NUL"),
            ("postgres://h/%ff", "dbname must be UTF-8"),
            ("host=h password='abc", "password: a quotation"),
            ("host=h password=abc\\", "password ends with a \\"),
            ("host=h password=", "password has no value"),
            ("host=h password='abc'sslmode=require", "password: behind the closing '"),
        ] {
            let error = parse(text).err().unwrap_or_default();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    /// Whoever reads these in another way than we do may see no sslmode, or another one: they are refused.
    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "postgres://h?application_name=a@b&sslmode=require",
            "postgres://h?application_name=a@b/c&sslmode=require",
            "postgres://h:5432?application_name=a@b/c&sslmode=require",
            "postgres://h/d&sslmode=require",
            "postgres://h/d?application_name=x;sslmode=require",
            "postgres://h/d?application_name=x?sslmode=require",
            "postgres://h/d#?sslmode=require",
            "postgres://h/d?application_name=a=b&sslmode=require",
            "postgres://h/d?sslmode",
            "postgres://u:1/x@h/d?sslmode=require",
            "host=h user= sslmode=require",
            "host=h dbname='d sslmode=require'",
            "host=h password=a b sslmode=require",
            "host=h password=it's sslmode=require",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_error_shows_a_part_of_the_password() {
        for text in [
            "host=h password=se cret=x",
            "host=h password=se secret",
            "host=h password='se' cret=x",
            "host=h password=se'cret",
            "host=h password='secret",
            "postgres://u:sec%ret@h/d",
            "postgres://u:se/cret@h/d",
            "postgres://u:se?cret=1@h/d",
            "postgres://u:1/cret@h/d?x",
            "postgres://h/d?password=se&cret=x",
            "postgres://h/d?password=se=cret",
            "postgres://h/d?user=a&password=se%cret",
            "POSTGRES://u:secret@h/d?sslmode=require",
            "postgresq://u:secret@h/d",
            "jdbc:postgresql://h/d?password=secret",
            "postgres://u:secret@h/d?color=red",
            "postgres://u:secret@h/d?sslmode=x",
            "postgres://u:secret@h:99999/d",
            "secret",
        ] {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text} must be refused"));
            assert!(!error.contains("cret") && !error.contains("sec"), "{text}: {error}");
            let shown = format!("{:?}", DatabaseUrl(Err(error)));
            assert!(!shown.contains("cret"), "{shown}");
        }
        let shown = format!("{:?}", "postgres://u:secret@h,[::1]:2/d".parse::<DatabaseUrl>());
        assert!(shown.contains("h:5432,[::1]:2/d as u") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn hosts_of_all_kinds() {
        let hosts = |text: &str| {
            let config = parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).config;
            (config.get_hosts().to_vec(), config.get_ports().to_vec(), config.get_hostaddrs().len())
        };
        let tcp = |name: &str| Host::Tcp(name.to_owned());
        assert_eq!(hosts("postgres://h"), (vec![tcp("h")], vec![], 0));
        assert_eq!(hosts("postgres://a:1,b,c:3/d"), (vec![tcp("a"), tcp("b"), tcp("c")], vec![1, 5432, 3], 0));
        assert_eq!(hosts("host=a,b port=1,2"), (vec![tcp("a"), tcp("b")], vec![1, 2], 0));
        assert_eq!(hosts("postgres://u@[2001:db8::1]:7/d"), (vec![tcp("2001:db8::1")], vec![7], 0));
        let socket = Host::Unix("/var/run/postgresql".into());
        for text in [
            "postgres://u@%2Fvar%2Frun%2Fpostgresql:7/d",
            "postgres://:7/d?host=/var/run/postgresql",
            "postgres://?host=/var/run/postgresql&port=7",
            "host=/var/run/postgresql port=7",
        ] {
            assert_eq!(hosts(text), (vec![socket.clone()], vec![7], 0), "{text}");
        }
        assert_eq!(hosts("hostaddr=127.0.0.1,::1 user=u"), (vec![], vec![], 2));
    }

    #[test]
    fn quotation_is_that_of_libpq() {
        let parsed = parse(r"host = h  user='a b'password_is_next=1").err().unwrap_or_default();
        assert!(parsed.contains("user"), "{parsed}");
        let config = parse(r"host = h user='O\'Brien \\' password=a\ b\'c dbname=''").map(|parsed| parsed.config);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.get_user(), Some(r"O'Brien \"));
        assert_eq!(config.get_password(), Some("a b'c".as_bytes()));
        let config =
            parse("postgres://u%40x:p%2F%3f@h/d%20b?ssl=true").unwrap_or_else(|error| panic!("{error}")).config;
        assert_eq!((config.get_user(), config.get_dbname()), (Some("u@x"), Some("d b")));
        assert_eq!(config.get_password(), Some("p/?".as_bytes()));
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
        let config = parse("postgres://u:p@ss:w?rd@h/d").unwrap_or_else(|error| panic!("{error}")).config;
        assert_eq!(config.get_password(), Some("p@ss:w?rd".as_bytes()));
    }

    fn encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    fn quoted(text: &str) -> String {
        format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
    }

    proptest! {
        /// Whatever else is said, in either form: what was written is what is read.
        #[test]
        fn settings_are_read_as_they_were_written(
            user in "[^\0]{1,12}", password in "[^\0]{0,20}", database in "[^\0=]{1,12}", application in "[^\0]{0,12}",
            mode in 0..5_usize, at in 0..3_usize,
        ) {
            let (name, mode) = [("disable", Mode::Disable), ("prefer", Mode::Prefer), ("require", Mode::Require),
                ("verify-ca", Mode::VerifyCa), ("verify-full", Mode::VerifyFull)][mode];
            let mut query = vec![format!("application_name={}", encoded(&application)), "keepalives=1".to_owned()];
            query.insert(at, format!("sslmode={name}"));
            let url = format!("postgres://{}:{}@h:1/{}?{}", encoded(&user), encoded(&password), encoded(&database), query.join("&"));
            let mut pairs = vec![format!("user={}", quoted(&user)), format!("password = {}", quoted(&password)),
                format!("dbname={} host=h port=1", quoted(&database))];
            pairs.insert(at, format!("sslmode={name} application_name={}", quoted(&application)));
            for text in [url, pairs.join("  ")] {
                // The name of a database is no list of settings.
                if super::url_rest(&database).is_some() { continue }
                let parsed = parse(&text);
                prop_assert!(parsed.is_ok(), "{}: {:?}", text, parsed.err());
                let Ok(parsed) = parsed else { continue };
                prop_assert_eq!(parsed.tls.mode, mode);
                prop_assert_eq!(parsed.config.get_user(), Some(user.as_str()));
                prop_assert_eq!(parsed.config.get_password(), Some(password.as_bytes()));
                prop_assert_eq!(parsed.config.get_dbname(), Some(database.as_str()));
                prop_assert_eq!(parsed.config.get_application_name(), Some(application.as_str()));
            }
        }

        /// A text that ends by asking for TLS gets it or is refused, whatever stands before.
        #[test]
        fn no_sslmode_is_lost(before in "[hu:@/?&=.' ,;#%\\[\\]a1]{0,24}", scheme in any::<bool>(), separator in "[?& ]") {
            let scheme = if scheme { "postgres://" } else { "host=h " };
            let text = format!("{scheme}{before}{separator}sslmode=require");
            if let Ok(parsed) = parse(&text) {
                prop_assert_eq!(parsed.tls.mode, Mode::Require, "{}", text);
            }
        }
    }
}
