//! The names of Redis keys on the app link; the embedded queue uses the same.

/// The group that reads commands, and its only consumer. In Redis each node has one of its own, whose name begins with this:
/// who takes a partition over removes the others.
pub(crate) const COMMAND_GROUP: &str = "jackfield";
/// How many dead letters a partition keeps.
pub(crate) const DEAD_LENGTH: usize = 10_000;
/// How long a reply waits for who asked.
pub(crate) const REPLY_LIFE_MILLIS: u64 = 60_000;

/// Start of every key, and the names made of it.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Commands of the application.
    pub(crate) fn commands(&self, partition: u32) -> String {
        self.of(partition, "commands")
    }

    /// Events for the application.
    pub(crate) fn events(&self, partition: u32) -> String {
        self.of(partition, "events")
    }

    /// Commands that cannot be done.
    pub(crate) fn dead(&self, partition: u32) -> String {
        self.of(partition, "dead")
    }

    /// Events that no handler could take.
    pub(crate) fn dead_events(&self, partition: u32) -> String {
        self.of(partition, "dead:app")
    }

    /// Which node reads the commands.
    pub(crate) fn lease(&self, partition: u32) -> String {
        self.of(partition, "lease:node")
    }

    /// Answers to the calls of one node.
    pub(crate) fn answers(&self, node: &str) -> String {
        format!("{{{}}}:answers:{node}", self.prefix)
    }

    /// Nodes by the end of their lease, their names, and when they were lost.
    pub(crate) fn nodes(&self) -> [String; 3] {
        ["nodes", "nodes:names", "nodes:lost"].map(|what| format!("{{{}}}:{what}", self.prefix))
    }

    /// Whether an ask may have its reply there. Why: anything else would let a command write into any key.
    pub(crate) fn takes_reply(&self, key: &str) -> bool {
        let start = format!("{{{}}}:replies:", self.prefix);
        key.strip_prefix(&start).is_some_and(|rest| !rest.is_empty())
    }

    // The braces keep the keys of a partition on one node of a Redis cluster.
    fn of(&self, partition: u32, what: &str) -> String {
        format!("{{{}:{partition}}}:{what}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_specification() {
        let keys = Keys::new("jackfield");
        assert_eq!(keys.commands(3), "{jackfield:3}:commands");
        assert_eq!(keys.events(0), "{jackfield:0}:events");
        assert_eq!(keys.dead(7), "{jackfield:7}:dead");
        assert_eq!(keys.lease(7), "{jackfield:7}:lease:node");
        assert_eq!(keys.answers("n1"), "{jackfield}:answers:n1");
        assert_eq!(keys.nodes()[1], "{jackfield}:nodes:names");
    }

    #[test]
    fn replies_go_to_reply_keys_only() {
        let keys = Keys::new("jackfield");
        assert!(keys.takes_reply("{jackfield}:replies:1"));
        for refused in ["", "{jackfield}:replies:", "{jackfield:0}:events", "{other}:replies:1"] {
            assert!(!keys.takes_reply(refused), "{refused}");
        }
    }
}
