//! The configuration as a whole: layers, places and secrets.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

/// A file that is gone when the test is over.
struct File(PathBuf);

impl File {
    fn new(extension: &str, text: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("jackfield-config-{}-{number}.{extension}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads a TOML text with variables and flags.
pub(super) fn load(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<(Config, Vec<String>), Vec<String>> {
    let file = File::new("toml", text);
    let path = file.0.display().to_string();
    match Config::load(Some(&file.0), pairs(variables).into_iter(), &pairs(flags)) {
        Ok((config, warnings)) => Ok((config, warnings.iter().map(ToString::to_string).collect())),
        Err(error) => {
            let short = |fault: &Fault| fault.to_string().replace(&path, "j.toml");
            Err(error.faults.iter().map(short).collect())
        }
    }
}

/// The faults of a TOML text.
pub(super) fn faults(text: &str) -> Vec<String> {
    load(text, &[], &[]).map(|_| ()).expect_err(text)
}

const KEY: &str = "[client.token]\nhmac_secret_key = \"x\"\n";

#[test]
fn the_defaults_and_development_mode_are_without_fault() {
    assert_eq!(Config::default().validate(), Ok(()));
    assert_eq!(Config::dev().validate(), Ok(()));
    let (config, warnings) = Config::load(None, std::iter::empty(), &[]).unwrap();
    assert_eq!(config, Config::default());
    assert!(warnings[0].to_string().starts_with("no client can connect: set client.token"));
    let (config, warnings) = Config::load(None, std::iter::empty(), &pairs(&[("dev", "true")])).unwrap();
    assert_eq!(config, Config::dev());
    assert_eq!(warnings, []);
}

#[test]
fn later_layers_win() {
    let text = format!("workers = 1\nhttp_server.port = 1\nnode.name = \"file\"\n{KEY}");
    let variables = [("JACKFIELD_HTTP_SERVER_PORT", "2"), ("JACKFIELD_NODE_NAME", "variable"), ("PATH", "/")];
    let (config, warnings) = load(&text, &variables, &[("node.name", "flag")]).unwrap();
    assert_eq!(config.workers, 1);
    assert_eq!(config.http_server.port, 2);
    assert_eq!(config.http_server.internal_port, 8401);
    assert_eq!(config.node.name, "flag");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_file_wins_over_development_mode() {
    let text = "[http_server]\nport = 9000\n[[channel.namespaces]]\nname = \"chat\"\n";
    let (config, _) = load(text, &[("JACKFIELD_DEV", "1")], &[]).unwrap();
    assert_eq!((config.http_server.port, config.http_server.address.as_str()), (9000, "127.0.0.1"));
    assert_eq!(config.channel.namespaces.len(), 1);
    assert!(!config.channel.namespaces[0].options.presence);
    assert!(config.channel.without_namespace.presence);
}

#[test]
fn development_mode_stays_on_loopback() {
    let advice =
        "is not loopback, and development mode lets everyone in; write \"127.0.0.1\" or leave development mode";
    for key in ["http_server.address", "http_server.internal_address", "embedded.address"] {
        let text = format!("dev = true\n{key} = \"0.0.0.0\"");
        assert_eq!(faults(&text), [format!("j.toml:2: {key}: \"0.0.0.0\" {advice}")]);
    }
    let text = "dev = true\n[[tcp]]\nname = \"a\"\nport = 9\naddress = \"\"";
    assert_eq!(faults(text), [format!("j.toml:5: tcp[0].address: \"\" {advice}")]);
    for address in ["localhost", "::1", "127.0.0.2", "::ffff:127.0.0.1"] {
        load(&format!("dev = true\nhttp_server.address = \"{address}\""), &[], &[]).unwrap();
    }
}

#[test]
fn variables_of_all_kinds_are_read() {
    let variables = [
        ("JACKFIELD_CLIENT_TOKEN_HMAC_SECRET_KEY", "hunter2"),
        ("JACKFIELD_CLIENT_ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("JACKFIELD_CLIENT_PING_INTERVAL", "1m"),
        ("JACKFIELD_CLIENT_INSECURE", "false"),
        ("JACKFIELD_APP_LINK_DRIVER", "embedded"),
        ("JACKFIELD_APP_LINK_EVENTS", "[\"connect\", \"message\"]"),
        ("JACKFIELD_CHANNEL_NAMESPACES", r#"[{"name": "chat", "presence": true}]"#),
        ("JACKFIELD_RAW", r#"[{"channel": "chat:{query.room}", "data": "json"}]"#),
    ];
    let (config, warnings) = load("", &variables, &[]).unwrap();
    assert_eq!(config.client.token.hmac_secret_key.expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.client.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.client.ping_interval, Duration::from_secs(60));
    assert_eq!(config.app_link.events, [EventType::Connect, EventType::Message]);
    assert_eq!(config.channel.namespaces[0].name, "chat");
    assert!(config.channel.namespaces[0].options.presence);
    assert_eq!((config.raw[0].path.as_str(), config.raw[0].feed.data), ("/ws", DataForm::Json));
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn unknown_variables_only_warn() {
    let variables = [
        ("JACKFIELD_CLIENT_INSECUR", "true"),
        ("JACKFIELD_", "x"),
        ("JACKFIELD_CONFIG", "not-read-as-a-flag-names-another.toml"),
    ];
    let (_, warnings) = load(KEY, &variables, &[]).unwrap();
    let ignored = "sets no known key and is ignored";
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].starts_with(&format!("environment variable JACKFIELD_ {ignored}")));
    let expected =
        format!("environment variable JACKFIELD_CLIENT_INSECUR {ignored}; did you mean JACKFIELD_CLIENT_INSECURE?");
    assert_eq!(warnings[1], expected);
}

#[test]
fn faults_of_variables_and_flags_name_them() {
    let variables = [("JACKFIELD_HTTP_SERVER_PORT", "http"), ("JACKFIELD_RAW", "/ws"), ("JACKFIELD_TCP", "[{]")];
    let flags = [("client.insecur", "true"), ("client", "x"), ("port", "1"), ("dev", "yes"), ("raw", "[1]")];
    let found = load("", &variables, &flags).unwrap_err();
    let expected = [
        "command line: client.insecur: is no known key; did you mean `client.insecure`?",
        "command line: client: is a section; name one of its keys",
        "command line: port: is no known key here; did you mean `http_server.port`?",
        "command line: dev: \"yes\" is no switch; write true or false",
        "command line: raw[0]: 1 is no table",
        "environment variable JACKFIELD_HTTP_SERVER_PORT: http_server.port: \"http\" is no port; write a number from 1 to 65535, or 0 for any free one",
        "environment variable JACKFIELD_RAW: raw: is no JSON array; write [{\"KEY\": \"value\"}]",
        "environment variable JACKFIELD_TCP: tcp: is not JSON: key must be a string at line 1 column 3",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_file_may_be_named_by_a_variable_and_be_json() {
    let file = File::new("json", "{\"workers\": 3, \"client\": {\"ping_interval\": \"30s\"}}");
    let path = file.0.display().to_string();
    let variables = pairs(&[("JACKFIELD_CONFIG", &path)]);
    let (config, _) = Config::load(None, variables.into_iter(), &[]).unwrap();
    assert_eq!((config.workers, config.client.ping_interval), (3, Duration::from_secs(30)));
}

#[test]
fn files_that_cannot_be_read_are_told() {
    for (extension, text, fault) in [
        ("yaml", "", "is YAML; write TOML or JSON"),
        ("conf", "", "is of unknown form; name it .toml or .json"),
        ("json", "[]", "holds no table"),
        ("json", "{", "is not JSON: EOF while parsing an object at line 1 column 1"),
        ("toml", "[log", "is not TOML: "),
    ] {
        let file = File::new(extension, text);
        let error = Config::load(Some(&file.0), std::iter::empty(), &[]).unwrap_err();
        assert!(error.faults[0].text.starts_with(fault), "{error}");
        assert!(error.to_string().contains(&file.0.display().to_string()), "{error}");
    }
    let error = Config::load(Some("/none/j.toml".as_ref()), std::iter::empty(), &[]).unwrap_err();
    assert!(error.faults[0].text.starts_with("cannot be read: No such file"), "{error}");
}

#[test]
fn secrets_are_not_told() {
    let text = "[http_api]\nkey = [\"hunter2\"]\n[client.token]\nhmac_secret_key = 12345\n";
    let found = faults(text);
    assert_eq!(found.len(), 2);
    let whole = found.join("\n");
    assert!(!whole.contains("hunter2") && !whole.contains("12345"), "{whole}");
    let found = faults("[app_link]\ndriver = \"rabbitmq\"\nurl = \"redis://:hunter2@localhost\"\n");
    assert!(!found.join("\n").contains("hunter2"), "{found:?}");
}

#[test]
fn the_example_in_the_reference_is_without_fault() {
    let reference = reference::reference();
    let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let (config, warnings) = load(example.unwrap(), &[], &[]).unwrap();
    assert_eq!(config.app_link.driver, Driver::Redis);
    assert_eq!(warnings, [""; 0]);
}
