//! A publication as an event of CloudEvents 1.0 in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jackfield_model::Content;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::calendar::rfc3339;
use crate::sink::inbox::Item;

/// Absent means empty. What CloudEvents has no name for are extensions, which are texts.
#[derive(Serialize)]
struct Event<'i> {
    specversion: &'static str,
    id: String,
    source: &'i str,
    r#type: &'static str,
    subject: &'i str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'i str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'i str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'i str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

/// What an item is: a publication, or the end of a key's value.
pub(crate) fn kind(item: &Item) -> &'static str {
    if item.publication.is_removal() { "jackfield.removal" } else { "jackfield.publication" }
}

/// The media type of its data.
pub(crate) fn media_type(content: Content) -> &'static str {
    match content {
        Content::Binary => "application/octet-stream",
        Content::Json => "application/json",
        Content::Text => "text/plain; charset=utf-8",
    }
}

/// The tags as a JSON object, where there are any.
pub(crate) fn tags(item: &Item) -> Option<String> {
    let tags = item.publication.tags.as_deref().filter(|tags| !tags.is_empty());
    tags.and_then(|tags| serde_json::to_string(tags).ok())
}

/// The event of an item; `source` says who we are.
pub(crate) fn event(item: &Item, source: &str) -> Bytes {
    let publication = &item.publication;
    let (bytes, content) = (&publication.data.bytes, publication.data.content);
    let has_data = !publication.is_removal();
    let data = match content {
        Content::Json => serde_json::from_slice::<Box<RawValue>>(bytes).ok(),
        Content::Text => std::str::from_utf8(bytes).ok().and_then(|text| to_raw_value(text).ok()),
        Content::Binary => None,
    };
    let data = data.filter(|_| has_data);
    let info = publication.info.as_ref();
    let event = Event {
        specversion: "1.0",
        id: item.id.to_string(),
        source,
        r#type: kind(item),
        subject: &item.channel,
        time: rfc3339(publication.time),
        datacontenttype: has_data.then(|| media_type(content)),
        offset: item.position.as_ref().map(|position| position.offset.to_string()),
        epoch: item.position.as_ref().map(|position| &*position.epoch),
        key: publication.key().map(|key| &**key),
        user: info.map(|info| &*info.user).filter(|user| !user.is_empty()),
        client: info.map(|info| info.client.to_string()),
        tags: tags(item),
        data_base64: (has_data && data.is_none()).then(|| STANDARD.encode(bytes)),
        data,
    };
    // Texts and checked JSON can always be written.
    serde_json::to_vec(&event).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jackfield_model::{Payload, Position, Publication, Rare};

    use super::*;
    use crate::sink::inbox::tests::item;

    fn of(publication: Publication) -> serde_json::Value {
        let item = Item { publication: Arc::new(publication), ..item("orders:1", "") };
        serde_json::from_slice(&event(&item, "/jackfield")).unwrap()
    }

    #[test]
    fn a_publication_is_an_event() {
        let mut item = item("orders:1", r#"{"a": [1, 2.50]}"#);
        item.position = Some(Position { offset: 7, epoch: "abcd".into() });
        let text = String::from_utf8(event(&item, "/jackfield/n").to_vec()).unwrap();
        let wanted = concat!(
            r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000000","source":"/jackfield/n","#,
            r#""type":"jackfield.publication","subject":"orders:1","time":"1970-01-01T00:00:00.000Z","#,
            r#""datacontenttype":"application/json","offset":"7","epoch":"abcd","data":{"a": [1, 2.50]}}"#
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn text_and_bytes_have_forms_of_their_own() {
        let text = of(Publication { data: Payload::text("a \"b\""), ..Publication::default() });
        assert_eq!(
            (text["data"].as_str(), text["datacontenttype"].as_str()),
            (Some("a \"b\""), Some("text/plain; charset=utf-8"))
        );
        let bytes = of(Publication { data: Payload::binary(&b"\xff\x00"[..]), ..Publication::default() });
        assert_eq!((bytes["data_base64"].as_str(), bytes.get("data")), (Some("/wA="), None));
    }

    #[test]
    fn the_end_of_a_value_has_no_data() {
        let rare = Rare { key: Some("k".into()), removed: true, ..Rare::default() };
        let removal = of(Publication { rare: Some(Box::new(rare)), ..Publication::default() });
        assert_eq!((removal["type"].as_str(), removal["key"].as_str()), (Some("jackfield.removal"), Some("k")));
        assert!(removal.get("data").is_none() && removal.get("data_base64").is_none());
    }
}
