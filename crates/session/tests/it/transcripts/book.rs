//! Transcripts as they stand in `spec/transcripts/session-*.json`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::bag::Bag;

/// Who speaks where a transcript names nobody.
pub(super) const CLIENT: &str = "client";

/// Transcripts of one subject.
pub(super) struct Chapter {
    pub(super) name: String,
    pub(super) transcripts: Vec<Transcript>,
}

/// One conversation.
#[derive(Clone)]
pub(super) struct Transcript {
    pub(super) title: String,
    pub(super) why: String,
    /// Why it is spoken in JSON only; empty: in Protobuf as well.
    pub(super) json_only: String,
    pub(super) config: Value,
    /// Doors that are no WebSocket, by client.
    pub(super) doors: Vec<(String, Value)>,
    /// What stands for tokens in the frames, and their claims.
    pub(super) tokens: Vec<(String, Value)>,
    /// Who is connected before it begins, and the claims of their tokens.
    pub(super) here: Vec<(String, Value)>,
    pub(super) steps: Vec<Step>,
}

/// One line of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) act: Act,
    pub(super) who: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// The application answers what it was asked first.
    Answer(Value),
    /// The application does something by the API or over the link.
    App(Value),
    /// The application is asked.
    Asked(Value),
    /// A socket is opened, and nothing is said yet.
    Comes,
    /// The connection is closed.
    Close(u16, String),
    /// The client's socket is gone.
    Gone,
    /// The client says something.
    In(String),
    /// The server finds that what subscribers know of a channel is not enough (2500) or void (2502).
    Lost(String, u64),
    /// The server says something: a line of JSON, or what a message of Protobuf means.
    Out(Value),
    /// The server goes down.
    Shutdown,
    /// The application is told.
    Told(Value),
    /// Time passes: so many milliseconds, or until something is heard.
    Wait(Option<String>),
}

impl Transcript {
    /// Whether a client only listens, and hears bare pushes.
    pub(super) fn is_unidirectional(&self, who: &str) -> bool {
        self.doors.iter().any(|(name, door)| name == who && door.as_str().unwrap().starts_with("uni_"))
    }
}

impl Act {
    /// Whether it comes from the server.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self, Self::Asked(_) | Self::Close(..) | Self::Out(_) | Self::Told(_))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts")
}

pub(super) fn load(name: &str) -> Value {
    let path = folder().join(format!("session-{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All chapters, in the order of their names.
pub(super) fn chapters() -> Vec<Chapter> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_prefix("session-")?.strip_suffix(".json")?.to_owned())
        })
        .filter(|name| name != "codes" && name != "messages")
        .collect();
    names.sort();
    let chapter = |name: String| {
        let transcripts = load(&name).as_array().unwrap().iter().map(transcript).collect();
        Chapter { name, transcripts }
    };
    names.into_iter().map(chapter).collect()
}

fn transcript(value: &Value) -> Transcript {
    let mut bag = Bag::new("a transcript", value);
    let title = bag.text("title").unwrap();
    let steps = bag.value("steps").unwrap();
    let transcript = Transcript {
        why: bag.text("why").unwrap_or_default(),
        json_only: bag.text("json_only").unwrap_or_default(),
        config: bag.value("config").unwrap_or_default(),
        doors: bag.pairs("doors"),
        tokens: bag.pairs("tokens"),
        here: bag.pairs("here"),
        steps: steps.as_array().unwrap().iter().map(|value| step(&title, value)).collect(),
        title,
    };
    bag.end();
    transcript
}

fn step(title: &str, value: &Value) -> Step {
    let mut bag = Bag::new(title, value);
    let who = bag.text("who").unwrap_or_else(|| CLIENT.to_owned());
    let act = if let Some(frame) = bag.text("in") {
        Act::In(frame)
    } else if let Some(line) = bag.value("out") {
        Act::Out(line)
    } else if let Some(code) = bag.number("close") {
        Act::Close(u16::try_from(code).unwrap(), bag.text("reason").unwrap_or_default())
    } else if let Some(asked) = bag.value("asked") {
        Act::Asked(asked)
    } else if let Some(told) = bag.value("told") {
        Act::Told(told)
    } else if let Some(answer) = bag.value("answer") {
        Act::Answer(answer)
    } else if let Some(command) = bag.value("app") {
        Act::App(command)
    } else if let Some(time) = bag.text("wait") {
        Act::Wait(Some(time).filter(|time| time != "next"))
    } else if let Some(channel) = bag.text("lost") {
        Act::Lost(channel, bag.number("code").unwrap())
    } else if bag.flag("shutdown") {
        Act::Shutdown
    } else if bag.flag("comes") {
        Act::Comes
    } else if bag.flag("gone") {
        Act::Gone
    } else {
        panic!("{title}: nothing happens in {value}");
    };
    bag.end();
    Step { act, who }
}

/// Writes a chapter as it is read.
pub(super) fn save(chapter: &Chapter) {
    let transcripts: Vec<String> = chapter.transcripts.iter().map(written).collect();
    let path = folder().join(format!("session-{}.json", chapter.name));
    fs::write(path, format!("[\n{}\n]\n", transcripts.join(",\n"))).unwrap();
}

fn written(transcript: &Transcript) -> String {
    let mut lines = vec![format!("    \"title\": {}", json!(transcript.title))];
    let mut put = |key: &str, value: &Value| {
        if *value != json!("") && *value != json!({}) && !value.is_null() {
            lines.push(format!("    \"{key}\": {value}"));
        }
    };
    let map = |pairs: &[(String, Value)]| Value::Object(pairs.iter().cloned().collect::<Map<_, _>>());
    put("why", &json!(transcript.why));
    put("json_only", &json!(transcript.json_only));
    put("config", &transcript.config);
    put("doors", &map(&transcript.doors));
    put("tokens", &map(&transcript.tokens));
    put("here", &map(&transcript.here));
    let steps: Vec<String> = transcript.steps.iter().map(|step| format!("      {}", written_step(step))).collect();
    lines.push(format!("    \"steps\": [\n{}\n    ]", steps.join(",\n")));
    format!("  {{\n{}\n  }}", lines.join(",\n"))
}

fn written_step(step: &Step) -> String {
    let act = match &step.act {
        Act::Answer(answer) => format!("\"answer\": {answer}"),
        Act::App(command) => format!("\"app\": {command}"),
        Act::Asked(asked) => format!("\"asked\": {asked}"),
        Act::Close(code, reason) => format!("\"close\": {code}, \"reason\": {}", json!(reason)),
        Act::Comes => "\"comes\": true".to_owned(),
        Act::Gone => "\"gone\": true".to_owned(),
        Act::In(frame) => format!("\"in\": {}", json!(frame)),
        Act::Lost(channel, code) => format!("\"lost\": {}, \"code\": {code}", json!(channel)),
        Act::Out(line) => format!("\"out\": {line}"),
        Act::Shutdown => "\"shutdown\": true".to_owned(),
        Act::Told(told) => format!("\"told\": {told}"),
        Act::Wait(time) => format!("\"wait\": {}", json!(time.as_deref().unwrap_or("next"))),
    };
    if step.who == CLIENT { format!("{{{act}}}") } else { format!("{{\"who\": {}, {act}}}", json!(step.who)) }
}
