//! How the settings of a connection are written: as a URL or as `name=value` pairs, both as libpq reads them. What could be
//! read in two ways is refused: a setting that one reader sees and another does not may be `sslmode`.

use percent_encoding::percent_decode_str;

/// The names of settings that are known here, those included that are refused with a reason.
pub(super) const KNOWN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslnegotiation",
    "channel_binding",
    "options",
    "application_name",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "keepalives_retries",
    "target_session_attrs",
    "load_balance_hosts",
    "gssencmode",
    "client_encoding",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcertmode",
];

/// A setting, decoded.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

/// Errors are sentences that hold nothing of the text but names of parameters: any other part may be a part of a password.
type Result<T> = std::result::Result<T, String>;

/// Reads what follows the scheme of a URL: `[user[:password]@][host[:port][,…]][/database][?name=value[&…]]`.
///
/// The authority ends at the first `/`, or `?` where there is none. A password may hold what needs no percent-encoding in the
/// eyes of most (`@`, `?`), as long as it can be nothing else.
pub(super) fn of_url(rest: &str) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let (authority, path) = match rest.find('/') {
        Some(slash) => (&rest[..slash], Some(&rest[slash + 1..])),
        None => (rest, None),
    };
    let (userinfo, rest_of_authority) = match authority.rfind('@') {
        Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
        None => (None, authority),
    };
    // `host?a=b@c/d`: is `@` in the query, or `?` in the password?
    let doubtful = |userinfo: &str| match userinfo.split_once('?') {
        None => false,
        Some((before, after)) => !before.contains(':') || after.contains('='),
    };
    if userinfo.is_some_and(doubtful) {
        return Err("is ambiguous: in user and password write %3F for ? and %40 for @, and / before the ? of \
                    parameters"
            .to_owned());
    }
    // Where the authority goes on into the query, what looked like a path was a part of that.
    let (hosts, path, query) = match (rest_of_authority.split_once('?'), path) {
        (Some((hosts, _)), _) => {
            let begin = rest.len() - rest_of_authority.len() - path.map_or(0, |path| path.len() + 1) + hosts.len();
            (hosts, None, Some(&rest[begin + 1..]))
        }
        (None, Some(path)) => match path.split_once('?') {
            Some((path, query)) => (rest_of_authority, Some(path), Some(query)),
            None => (rest_of_authority, Some(path), None),
        },
        (None, None) => (rest_of_authority, None, None),
    };
    if let Some(userinfo) = userinfo {
        let (user, password) = match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (userinfo, None),
        };
        put(&mut settings, "user", decoded(user, "user")?);
        if let Some(password) = password {
            put(&mut settings, "password", decoded(password, "password")?);
        }
    }
    of_hosts(hosts, &mut settings)?;
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        if path.contains(['&', '=', '@', '#']) {
            return Err(
                "holds &, =, @ or # in the name of the database: parameters begin with ?, and / in a password is \
                        written %2F"
                    .to_owned(),
            );
        }
        put(&mut settings, "dbname", decoded(path, "dbname")?);
    }
    for pair in query.into_iter().filter(|query| !query.is_empty()).flat_map(|query| query.split('&')) {
        of_query(pair, &mut settings)?;
    }
    Ok(settings)
}

/// Reads `name=value` of a query.
fn of_query(pair: &str, settings: &mut Vec<Setting>) -> Result<()> {
    let Some((name, value)) = pair.split_once('=') else {
        return Err("has a parameter without =; write ?name=value&name=value".to_owned());
    };
    let name = named(&decoded(name, "a parameter's name")?, settings)?;
    if value.contains(['=', '?', ';', '#']) || value.contains(char::is_whitespace) {
        return Err(format!(
            "{name}: write %3D for =, %3F for ?, %3B for ;, %23 for # and %20 for a space in its value"
        ));
    }
    let value = decoded(value, &name)?;
    // As in libpq, for what was written for JDBC.
    match (name.as_str(), value.as_str()) {
        ("ssl", "true") => put(settings, "sslmode", "require".to_owned()),
        ("ssl", _) => return Err("ssl must be true; better say sslmode".to_owned()),
        _ => put(settings, &name, value),
    }
    Ok(())
}

/// Reads hosts with their ports, several with commas; an IPv6 address is in brackets.
fn of_hosts(text: &str, settings: &mut Vec<Setting>) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = match part.strip_prefix('[') {
            Some(rest) => {
                let (address, after) =
                    rest.split_once(']').ok_or("has a [ without ] in its host: an IPv6 address is [::1]")?;
                if address.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err("has no IPv6 address in the brackets of its host".to_owned());
                }
                match (after, after.strip_prefix(':')) {
                    ("", _) => (address.to_owned(), ""),
                    (_, Some(port)) => (address.to_owned(), port),
                    _ => return Err("has something between the ] of its host and the : of its port".to_owned()),
                }
            }
            None => {
                let (host, port) = part.split_once(':').unwrap_or((part, ""));
                (decoded(host, "host")?, port)
            }
        };
        if !port.bytes().all(|c| c.is_ascii_digit()) {
            return Err(
                "port must be a number from 1 to 65535; an IPv6 address is written [::1], and / in a password %2F"
                    .to_owned(),
            );
        }
        hosts.push(host);
        ports.push(port);
    }
    // Nothing but a port: the host may be a parameter.
    if hosts.iter().any(|host| !host.is_empty()) {
        put(settings, "host", hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        put(settings, "port", ports.join(","));
    }
    Ok(())
}

/// Reads `name=value` pairs between white space. A value with white space is in single quotes; in and outside of them a
/// backslash takes the next character as it is.
pub(super) fn of_pairs(text: &str) -> Result<Vec<Setting>> {
    const WRONG: &str = "is not a PostgreSQL URL such as postgres://user@host:5432/database, nor pairs such as host=…";
    let mut settings: Vec<Setting> = Vec::new();
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Err(WRONG.to_owned());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(after) = after.trim_start().strip_prefix('=') else {
            // It may be the rest of a password.
            return Err(format!("{WRONG}: something stands without =; put values that hold spaces into '…'"));
        };
        let name = named(name, &settings).map_err(|why| if settings.is_empty() { WRONG.to_owned() } else { why })?;
        let (value, after) = quoted_or_plain(after.trim_start(), &name)?;
        put(&mut settings, &name, value);
        rest = after.trim_start();
    }
    Ok(settings)
}

/// A value and what follows it.
fn quoted_or_plain<'a>(text: &'a str, name: &str) -> Result<(String, &'a str)> {
    // `user= sslmode=require`: white space may stand behind =, so that this were the user's name.
    if text.is_empty() || text.split_once('=').is_some_and(|(next, _)| KNOWN.contains(&next.trim_end())) {
        return Err(format!("{name} has no value; write '' for an empty one"));
    }
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some((_, c)) => value.push(c),
                None => return Err(format!("{name} ends with a \\ that nothing follows")),
            },
            '\'' if quoted => {
                let after = &text[at + 1..];
                if after.starts_with(|c: char| !c.is_whitespace()) {
                    return Err(format!(
                        "{name}: behind the closing ' must be a space; inside of quotes write \\' for '"
                    ));
                }
                return Ok((checked(value, name)?, after));
            }
            // libpq would take it as it is; whoever writes it means a quotation that is none.
            '\'' => return Err(format!("{name} has a ' in the middle; put the whole into '…' and write \\' for '")),
            c if !quoted && c.is_whitespace() => return Ok((checked(value, name)?, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(format!("{name}: a quotation that begins with ' has no end"));
    }
    Ok((checked(value, name)?, ""))
}

fn put(settings: &mut Vec<Setting>, name: &str, value: String) {
    settings.push(Setting { name: name.to_owned(), value });
}

/// A name as it may be shown. What follows a password may be a part of it.
fn named(text: &str, before: &[Setting]) -> Result<String> {
    let after_password = before.last().is_some_and(|before| before.name == "password");
    if KNOWN.contains(&text) || text == "ssl" {
        Ok(text.to_owned())
    } else if after_password {
        Err("has something behind the password that is no parameter; write %26 for & in a URL, and put a password with \
             spaces into '…' elsewhere"
            .to_owned())
    } else if !text.is_empty() && text.len() <= 40 && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
        Err(format!("the parameter {text} is not known; there are {}", KNOWN.join(", ")))
    } else {
        Err("has a parameter whose name is no word".to_owned())
    }
}

/// Undoes percent-encoding, strictly.
fn decoded(text: &str, what: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, &byte)| {
        byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return Err(format!("{what} has a % that two hexadecimal digits do not follow; write %25 for %"));
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| format!("{what} must be UTF-8"))?;
    checked(text.into_owned(), what)
}

fn checked(value: String, what: &str) -> Result<String> {
    if value.contains('\0') { Err(format!("{what} must not hold NUL")) } else { Ok(value) }
}
