//! `docs/protocol.md`: prose by hand, and between its marks what the transcripts and the model say.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::book::{self, Act, CLIENT, Chapter, Step, Transcript};
use super::codes::{self, Code};
use super::schema::Messages;

const END: &str = "<!-- end -->";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md")
}

#[test]
fn the_page_shows_what_the_transcripts_say() {
    let written = fs::read_to_string(path()).unwrap();
    let page = rendered(&written);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path(), &page).unwrap();
    } else {
        let remedy = "UPDATE_DOCS=1 cargo test -p jackfield-session transcripts";
        assert!(written == page, "docs/protocol.md is not up to date: {remedy}");
    }
    for chapter in book::chapters() {
        let mark = format!("<!-- talk {} -->", chapter.name);
        assert!(page.contains(&mark), "docs/protocol.md has no {mark}");
    }
    let messages = super::messages();
    for name in messages.names() {
        let mark = format!("<!-- fields {name} -->");
        assert!(page.contains(&mark), "docs/protocol.md has no {mark}");
    }
}

/// What the page says of options can be written into a configuration.
#[test]
fn every_option_of_a_transcript_is_one_of_the_server() {
    let known = fs::read_to_string(path().with_file_name("config.md")).unwrap();
    let mut count = 0;
    for transcript in book::chapters().iter().flat_map(|chapter| &chapter.transcripts) {
        let mut options = Vec::new();
        names("", &transcript.config, &mut options);
        for option in options {
            let parts: Vec<&str> = option.split('.').collect();
            // Tables of the page of options are by section, and all namespaces have one.
            let key =
                if option.starts_with("channel.namespaces.") { parts[3..].join(".") } else { parts[1..].join(".") };
            assert!(known.contains(&format!("\n| `{key}` |")), "{}: no option is called {option}", transcript.title);
            count += 1;
        }
    }
    assert!(count > 100, "only {count} options were found");
}

fn names(before: &str, value: &Value, out: &mut Vec<String>) {
    match value.as_object() {
        Some(map) => {
            for (key, value) in map {
                names(&if before.is_empty() { key.clone() } else { format!("{before}.{key}") }, value, out);
            }
        }
        None if value.is_null() => {}
        None => out.push(before.to_owned()),
    }
}

/// The page with everything between a mark and its end made anew.
fn rendered(page: &str) -> String {
    let chapters = book::chapters();
    let messages = super::messages();
    let mut out = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        writeln!(out, "{line}").unwrap();
        let Some(mark) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        let words: Vec<&str> = mark.split(' ').collect();
        let made = match words[..] {
            ["codes", table] => table_of_codes(table),
            ["errors", chapter] => errors(find(&chapters, chapter)),
            ["fields", message] => fields(&messages, message),
            ["talk", chapter] => talk(find(&chapters, chapter)),
            _ => continue,
        };
        assert!(lines.by_ref().any(|line| line == END), "docs/protocol.md: {line} has no {END}");
        write!(out, "\n{made}\n{END}\n").unwrap();
    }
    out
}

fn find<'c>(chapters: &'c [Chapter], name: &str) -> &'c Chapter {
    chapters.iter().find(|chapter| chapter.name == name).unwrap_or_else(|| panic!("no transcripts are called {name}"))
}

fn fields(messages: &Messages, message: &str) -> String {
    if messages.fields(message).is_empty() {
        return "It has no fields.\n".to_owned();
    }
    let mut out = "| field | no. | type | meaning |\n|---|---|---|---|\n".to_owned();
    for field in messages.fields(message) {
        writeln!(out, "| `{}` | {} | {} | {} |", field.name, field.number, field.kind.told(), field.about).unwrap();
    }
    out
}

fn table_of_codes(table: &str) -> String {
    let heads = match table {
        "errors" => "| code | message | meaning | what to do |",
        _ => "| code | reason | meaning | what to do |",
    };
    let mut out = format!("{heads}\n|---|---|---|---|\n");
    for Code { number, words, about, temporary, .. } in codes::declared().iter().filter(|code| code.table == table) {
        let again = match (table, temporary, number) {
            ("errors", true, _) => "**Try again** (`temporary`). ",
            ("closes", _, 3000..3500) => "**Reconnect.** ",
            ("closes", _, 3500..4000) => "**Stay away.** ",
            ("unsubscribes", _, 2500..) => "**Subscribe again.** ",
            _ => "",
        };
        let advice = codes::advice(table, *number);
        writeln!(out, "| {number} | {words} | {about} | {again}{advice} |").unwrap();
    }
    out
}

/// The codes that come up in a chapter, and in which transcripts.
fn errors(chapter: &Chapter) -> String {
    let mut found: BTreeMap<(u64, String), Vec<&str>> = BTreeMap::new();
    for transcript in &chapter.transcripts {
        for step in &transcript.steps {
            let code = match &step.act {
                Act::Out(line) => codes::told(line).map(|(table, code)| match table {
                    "errors" => (code, "error".to_owned()),
                    _ => (code, "unsubscribe push".to_owned()),
                }),
                Act::Close(code, _) => Some(((*code).into(), "close".to_owned())),
                _ => None,
            };
            if let Some(code) = code {
                let titles = found.entry(code).or_default();
                if !titles.contains(&transcript.title.as_str()) {
                    titles.push(&transcript.title);
                }
            }
        }
    }
    if found.is_empty() {
        return "It has no errors of its own.\n".to_owned();
    }
    let mut out = "| code | is | when |\n|---|---|---|\n".to_owned();
    for ((code, is), titles) in found {
        writeln!(out, "| {code} | {is} | {} |", titles.join("; ")).unwrap();
    }
    out
}

fn talk(chapter: &Chapter) -> String {
    let told: Vec<String> = chapter.transcripts.iter().map(transcript).collect();
    told.join("\n")
}

fn transcript(transcript: &Transcript) -> String {
    let head = format!("**{}.** {}", transcript.title, transcript.why);
    let mut out = format!("{}\n\n```text\n", head.trim_end());
    let mut head = Vec::new();
    flatten("", &transcript.config, &mut head);
    for line in &head {
        writeln!(out, "# {line}").unwrap();
    }
    for (name, door) in &transcript.doors {
        writeln!(out, "# {name} comes by {}", door.as_str().unwrap()).unwrap();
    }
    for (name, claims) in &transcript.tokens {
        let mut said = claims.clone();
        let said = said.as_object_mut().unwrap();
        let (forged, unknown) = (said.remove("_secret").is_some(), said.remove("_kid"));
        let signed = match unknown {
            Some(kid) => format!(", signed with the key {kid}, which the server does not have yet"),
            None if forged => ", signed with another key than the server's".to_owned(),
            None => String::new(),
        };
        writeln!(out, "# <{name}> is a token that says {}{signed}", json!(said)).unwrap();
    }
    for (name, claims) in &transcript.here {
        let user = claims["sub"].as_str().unwrap_or_default();
        let more = claims.as_object().unwrap().keys().any(|key| key != "sub");
        let who = if user.is_empty() { "without a token".to_owned() } else { format!("as user {user}") };
        let claims = if more { format!(", by a token that says {claims}") } else { String::new() };
        writeln!(out, "# {name} is connected {who}{claims}").unwrap();
    }
    let is_alone = transcript.steps.iter().all(|step| step.who == CLIENT);
    for step in &transcript.steps {
        out.push_str(&line(step, is_alone));
    }
    out.push_str("```\n");
    out
}

/// Options as `section: key = value, key = value`.
fn flatten(section: &str, value: &Value, out: &mut Vec<String>) {
    let Some(map) = value.as_object() else { return };
    let plain = |value: &&Value| !value.is_object();
    let options: Vec<String> =
        map.iter().filter(|(_, value)| plain(value)).map(|(key, value)| format!("{key} = {value}")).collect();
    if !options.is_empty() {
        out.push(format!("{section}: {}", options.join(", ")));
    }
    for (key, value) in map {
        flatten(&if section.is_empty() { key.clone() } else { format!("{section}.{key}") }, value, out);
    }
}

fn line(step: &Step, is_alone: bool) -> String {
    let who = if is_alone { String::new() } else { format!("{} ", step.who) };
    match &step.act {
        Act::Answer(answer) if answer["silence"] == true => format!("{who}! the application does not answer in time\n"),
        Act::Answer(answer) if answer["no_queue"] == true => format!("{who}! the queue is down\n"),
        Act::Answer(answer) if answer["enqueued"] == true => format!("{who}! the queue has it\n"),
        Act::Answer(answer) => format!("{who}! the application answers {answer}\n"),
        Act::App(command) => format!("! the application: {command}\n"),
        Act::Asked(asked) => format!("{who}! the application is asked {asked}\n"),
        Act::Close(code, reason) => format!("{who}< closed with {code} \"{reason}\"\n"),
        Act::Comes => format!("{who}-- opens a WebSocket\n"),
        Act::Gone => format!("{who}-- is gone\n"),
        Act::In(frame) => frame.lines().map(|line| format!("{who}> {line}\n")).collect(),
        Act::Lost(channel, 2500) => format!("-- something was lost on the way to the subscribers of {channel}\n"),
        Act::Lost(channel, _) => format!("-- what the subscribers of {channel} know is void\n"),
        Act::Out(line) => format!("{who}< {}\n", line.as_str().unwrap()),
        Act::Shutdown => "-- the server goes down\n".to_owned(),
        Act::Told(told) => format!("{who}! the application is told {told}\n"),
        Act::Wait(Some(time)) => format!("-- {time} later\n"),
        Act::Wait(None) => "-- time passes\n".to_owned(),
    }
}
