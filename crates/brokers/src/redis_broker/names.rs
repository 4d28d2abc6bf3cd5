//! Keys and topics. What clients chose stands last and is never part of a hash tag, so it can be any bytes.

/// Parts that channels are spread over; each lies on one server of a cluster.
pub(super) const PARTITIONS: u16 = 256;

/// The names of one cluster of nodes in a Redis.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    node: String,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Topic<'a> {
    Channel(&'a str),
    Note,
    Probe,
}

impl Names {
    pub(super) fn new(prefix: &str, node: &str) -> Self {
        Self { prefix: prefix.to_owned(), node: node.to_owned() }
    }

    /// The part that a channel belongs to.
    pub(super) fn partition(channel: &str) -> u16 {
        (crc32fast::hash(channel.as_bytes()) % u32::from(PARTITIONS)) as u16
    }

    /// The hash tag of a part.
    pub(super) fn tag(&self, partition: u16) -> String {
        format!("{{{}:b:{partition}}}", self.prefix)
    }

    fn of(&self, kind: &str, channel: &str) -> String {
        format!("{}:{kind}:{channel}", self.tag(Self::partition(channel)))
    }

    pub(super) fn meta(&self, channel: &str) -> String {
        self.of("meta", channel)
    }

    pub(super) fn stream(&self, channel: &str) -> String {
        self.of("stream", channel)
    }

    pub(super) fn values(&self, channel: &str) -> String {
        self.of("values", channel)
    }

    /// Ids of publications that were taken lately.
    pub(super) fn taken(&self, channel: &str) -> String {
        self.of("taken", channel)
    }

    /// The length says where the channel ends, for both are a client's or an application's words.
    pub(super) fn result(&self, channel: &str, idempotency_key: &str) -> String {
        format!("{}:{}:{idempotency_key}", self.of("result", channel), channel.len())
    }

    pub(super) fn topic(&self, channel: &str) -> String {
        self.of("to", channel)
    }

    /// What all nodes hear, or one of them.
    pub(super) fn notes(&self, node: Option<&str>) -> String {
        match node {
            None => format!("{}:nodes", self.prefix),
            Some(node) => format!("{}:node:{node}", self.prefix),
        }
    }

    pub(super) fn own_notes(&self) -> String {
        self.notes(Some(&self.node))
    }

    /// What this node sends to itself through a part.
    pub(super) fn probe(&self, partition: u16) -> String {
        format!("{}:probe:{}", self.tag(partition), self.node)
    }

    /// What a topic is for; none that is not ours.
    pub(super) fn read<'a>(&self, topic: &'a str) -> Option<Topic<'a>> {
        let rest = topic.strip_prefix('{').and_then(|rest| rest.strip_prefix(self.prefix.as_str()));
        let Some(rest) = rest else {
            let rest = topic.strip_prefix(self.prefix.as_str())?;
            return (rest == ":nodes" || rest.starts_with(":node:")).then_some(Topic::Note);
        };
        let (_, rest) = rest.strip_prefix(":b:")?.split_once("}:")?;
        match rest.split_once(':')? {
            ("to", channel) => Some(Topic::Channel(channel)),
            ("probe", node) if node == self.node => Some(Topic::Probe),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::place::slot;

    #[test]
    fn a_channel_lies_in_one_slot_whatever_it_is_called() {
        let names = Names::new("jackfield", "node-1");
        for channel in ["news", "}", "{", "{}", "a}b{c", "", "{x}y", "\0\r\n*?[", "to:x", "é"] {
            let all = [names.meta(channel), names.stream(channel), names.values(channel), names.topic(channel)];
            let result = names.result(channel, "}k{");
            let place = slot(&names.tag(Names::partition(channel)));
            assert!(all.iter().chain([&result, &names.taken(channel)]).all(|key| slot(key) == place), "{channel:?}");
            assert_eq!(names.read(&names.topic(channel)), Some(Topic::Channel(channel)));
            for other in [names.meta(channel), names.stream(channel)] {
                assert_eq!(names.read(&other), None);
            }
        }
        assert_eq!(names.read(&names.notes(None)), Some(Topic::Note));
        assert_eq!(names.read(&names.own_notes()), Some(Topic::Note));
        assert_eq!(names.read(&names.probe(7)), Some(Topic::Probe));
        assert_eq!(names.read("{other:b:1}:to:x"), None);
    }

    #[test]
    fn results_of_two_channels_are_never_one() {
        let names = Names::new("p", "n");
        assert_ne!(names.result("a", "1:b"), names.result("a:1", "b"));
        assert_ne!(names.result("a:1", "b"), names.result("a", "1:1:b"));
    }
}
