//! The rules of sources and sinks: what cannot be read or sent, told with what would be right.

use super::Config;
use super::tests::{faults, load};

/// Each text has one fault that says so, and repeats no secret.
fn each_says(head: &str, cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        let found = faults(&format!("{head}{text}"));
        assert!(found.len() == 1 && found[0].contains(wanted), "{text}\n{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

/// A text without fault.
fn good(text: &str) -> Config {
    load(text, &[], &[]).unwrap().0
}

const TICKS: &str = "[[channel.namespaces]]\nname = \"ticks\"\n";

#[test]
fn five_lines_are_a_source() {
    let five = "[[source]]\nurl = \"amqp://guest:guest@localhost:5672/\"\nexchange = \"ticks\"\nrouting_key = \"eu.#\"\n\
                channel = \"ticks:{routing_key}\"";
    let config = good(&format!("{TICKS}{five}"));
    assert_eq!((config.source.len(), config.source[0].title()), (1, "ticks"));
    assert!(!format!("{config:?}").contains("guest"));
    let hook = "[[sink]]\nchannels = [\"a:*\"]\nurl = \"https://hunter2.example/x\"";
    assert_eq!(good(hook).sink[0].title(), "hunter2.example");
}

#[test]
fn a_source_reads_something_of_its_engine() {
    let rabbit = "[[source]]\nurl = \"amqp://u:hunter2@h\"\nchannel = \"a\"\n";
    each_says(
        rabbit,
        &[
            ("", "source[0]: reads nothing; name an `exchange` or a `queue`"),
            ("queue = \"q\"\nrouting_key = \"a.#\"", "source[0].routing_key: is given without an exchange"),
            ("queue = \"q\"\nstream = \"s\"", "source[0].stream: is for Redis; leave it out"),
            ("exchange = \"e\"\ngroup = \"s\"", "source[0].group: is for Redis streams and NATS; leave it out"),
            ("exchange = \"e\"\nexchang = \"s\"", "did you mean `exchange`?"),
            ("exchange = \"e\"\nprefetch = 0", "source[0].prefetch: is 0; write 1 or more"),
            ("exchange = \"e\"\nprefetch = 70000", "source[0].prefetch: 70000 is more than 65535"),
            ("exchange = \"e\"\ncontent = \"xml\"", "source[0].content: \"xml\" is unknown"),
        ],
    );
    let redis = "[[source]]\nurl = \"redis://u:hunter2@h\"\nchannel = \"a\"\n";
    each_says(
        redis,
        &[
            ("", "source[0]: reads nothing; name a `stream` or a `pattern` of PUB/SUB"),
            ("stream = \"s\"\npattern = \"p\"", "source[0].pattern: is given beside a stream; write two sources"),
            ("stream = \"s\"\nqueue = \"q\"", "source[0].queue: is for RabbitMQ; leave it out"),
            ("stream = \"s\"\ngroup = \"\"", "source[0].group: is empty"),
            ("stream = \"s\"\nclaim_after = \"0s\"", "source[0].claim_after: is no time at all"),
            ("pattern = \"s\"\nidempotency = true", "which what is not kept knows nothing of"),
        ],
    );
    let nats = "[[source]]\nurl = \"nats://u:hunter2@h\"\nchannel = \"a\"\n";
    each_says(
        nats,
        &[
            ("", "source[0]: reads nothing; name a `subject`"),
            ("subject = \"s\"\nstream = \"q\"", "source[0].stream: is for Redis; leave it out"),
            ("subject = \"s\"\nidempotency = true", "which what is not kept knows nothing of"),
        ],
    );
    good(&format!("{nats}subject = \"s.>\"\ngroup = \"\""));
    each_says(
        "[[source]]\nexchange = \"e\"\n",
        &[
            ("url = \"amqp://u:hunter2@h\"", "source[0]: lacks `channel`"),
            ("channel = \"a\"", "source[0]: lacks `url`"),
            (
                "channel = \"a\"\nurl = \"kafka://hunter2\"",
                "source[0].url: is no address of a source; write one such as",
            ),
            (
                "channel = \"a\"\nurl = \"https://hunter2\"",
                "source[0].url: is no address of a source; write one such as",
            ),
            ("channel = \"a\"\nurl = \"amqps://hunter2\"", "source[0].url: asks for TLS"),
        ],
    );
}

#[test]
fn a_feed_is_dialled() {
    let feed = "[[source]]\nurl = \"tcp://127.0.0.1:7400\"\nchannel = \"a\"\n";
    each_says(
        feed,
        &[
            (
                "framing = \"u24be\"",
                "source[0].framing: \"u24be\" is no framing; write \"lines\", \"varint\", \"fixed:N\"",
            ),
            (
                "framing = \"fixed:9\"\nmessage_size_limit = 8",
                "source[0].framing: is \"fixed:9\", more than message_size_limit, 8",
            ),
            ("hello = \"hunter2\"", "source[0].hello: has no newline at its end, while framing is \"lines\""),
            ("idle_timeout = \"30\"", "source[0].idle_timeout: \"30\" has no unit"),
            ("queue = \"q\"", "source[0].queue: is for RabbitMQ; leave it out"),
            ("group = \"q\"", "source[0].group: is for Redis streams and NATS; leave it out"),
            ("idempotency = true", "which what is not kept knows nothing of"),
            ("key = \"{subject}\"", "source[0].key: \"{subject}\" has {subject}, which nothing fills here"),
            ("key = \"{stream}\"", "source[0].key: \"{stream}\" has {stream}, which nothing fills here"),
            (feed, "source[1].name: \"127.0.0.1:7400\" is the name of source[0] too"),
        ],
    );
    for (url, wanted) in [
        ("tcp://hunter2", "source[0].url: has no port; write one such as \"tcp://HOST:7400\""),
        ("tcp://hunter2:0", "source[0].url: has no port from 1 to 65535"),
        ("tcp://u:hunter2@h:7400", "source[0].url: has a user, which plain TCP has no word for; say it in `hello`"),
        ("tcps://h:7400/hunter2", "source[0].url: has no port from 1 to 65535"),
        ("udp://hunter2:7400", "source[0].url: is no address of a source; write one such as"),
    ] {
        each_says("", &[(&format!("[[source]]\nchannel = \"a\"\nurl = \"{url}\""), wanted)]);
    }
    let rabbit = "[[source]]\nurl = \"amqp://h\"\nqueue = \"q\"\nchannel = \"a\"\n";
    each_says(
        rabbit,
        &[
            ("framing = \"varint\"", "source[0].framing: is for a TCP feed; leave it out"),
            ("hello = \"hunter2\"", "source[0].hello: is for a TCP feed; leave it out"),
            ("idle_timeout = \"1s\"", "source[0].idle_timeout: is for a TCP feed; leave it out"),
        ],
    );
    each_says("[[sink]]\nchannels = [\"*\"]\nurl = \"tcp://h:1\"", &[("", "sink[0].url: is no address of a sink")]);
    let config = good(&format!(
        "{TICKS}[[source]]\nurl = \"tcps://feed.example:7400\"\nhello = \"SUBSCRIBE hunter2\\n\"\nidle_timeout = \"30s\"\n\
         channel = \"ticks:{{field:market}}\"\nkey = \"{{field:instrument.symbol}}\""
    ));
    assert_eq!(config.source[0].title(), "feed.example:7400");
    assert!(config.source[0].needs_one_node() && !format!("{config:?}").contains("hunter2"));
    // What is said first in another framing has an end of its own.
    good(&format!("{feed}framing = \"varint\"\nhello = \"\\u0003one\""));
}

#[test]
fn blanks_are_those_that_messages_fill() {
    let rabbit = "[[source]]\nurl = \"amqp://h\"\nexchange = \"e\"\n";
    each_says(
        rabbit,
        &[
            ("channel = \"{stream}\"", "source[0].channel: \"{stream}\" has {stream}, which nothing fills here"),
            ("channel = \"{user}\"", "source[0].channel: \"{user}\" has the unknown variable {user}"),
            ("channel = \"\"", "source[0].channel: is empty"),
            (
                "channel = \"ticks:{routing_key}\"",
                "is in the namespace `ticks`, which channel.namespaces does not have",
            ),
            ("channel = \"a\"\nkey = \"{field:x}\"", "source[0].key: \"{field:x}\" has {field:x}"),
        ],
    );
    let pattern = "[[source]]\nurl = \"redis://h\"\npattern = \"e\"\n";
    each_says(pattern, &[("channel = \"{field:x}\"", "has {field:x}, which nothing fills here")]);
    good(&format!("{pattern}channel = \"{{channel}}\""));
}

#[test]
fn a_sink_sends_something_somewhere() {
    let all = "[[sink]]\nchannels = [\"*\"]\n";
    each_says(
        all,
        &[
            ("", "sink[0]: lacks `url`"),
            ("url = \"kafka://hunter2\"", "sink[0].url: is no address of a sink; write one such as"),
            ("url = \"http://u:hunter2@h/\"", "sink[0].url: has a user or a password"),
            ("url = \"https://127.0.0.1/hunter2\"", "sink[0].url: is no address of the internet; if it is yours"),
            ("url = \"https://localhost/hunter2\"", "write allow_private = true"),
            ("url = \"https://[::ffff:10.0.0.1]/\"", "write allow_private = true"),
            ("url = \"https://h\"\nsecret = \"hunter2\"", "sink[0].secret: is no standard base64"),
            ("url = \"https://h\"\nretry = [\"5s\", \"5\"]", "sink[0].retry[1]: \"5\" has no unit"),
            ("url = \"https://h\"\nheaders = {\"a b\" = \"hunter2\"}", "\"a b\" is no name of a header"),
            ("url = \"https://h\"\nparallel = 0", "sink[0].parallel: is 0"),
            ("url = \"https://h\"\nstream = \"s\"", "sink[0].stream: is for Redis; leave it out"),
            ("url = \"amqp://h\"\nretry = [\"1s\"]", "sink[0].retry: is for a webhook; leave it out"),
            ("url = \"amqp://h\"\nrouting_key = \"\"", "sink[0].routing_key: is empty"),
            ("url = \"nats://hunter2\"", "sink[0].url: is no address of a sink; write one such as"),
            ("url = \"redis://h\"", "sink[0].stream: is empty; name the stream"),
            ("url = \"redis://h\"\nstream = \"{stream}\"", "has {stream}, which nothing fills here"),
            ("url = \"https://h\"\nqueue_max_count = 0", "sink[0].queue_max_count: is 0"),
        ],
    );
    each_says("[[sink]]\nurl = \"https://h\"\n", &[("channels = []", "sink[0].channels: is empty")]);
    good(&format!("{all}url = \"http://127.0.0.1:1/\"\nallow_private = true"));
}

#[test]
fn names_are_told_apart() {
    let one = "[[sink]]\nchannels = [\"*\"]\nurl = \"https://h/a\"\n";
    each_says(one, &[(one, "sink[1].name: \"h\" is the name of sink[0] too; give one of them another `name`")]);
    good(&format!("{one}{one}name = \"other\""));
}

#[test]
fn several_nodes_share_a_queue_or_a_stream() {
    let shared = "broker.driver = \"redis\"\nbroker.url = \"redis://h\"\n";
    let exchange = format!("{shared}[[source]]\nurl = \"amqp://h\"\nchannel = \"a\"\nexchange = \"e\"\n");
    each_says(&exchange, &[("", "source[0]: is read whole by every node, while broker.driver joins several")]);
    good(&format!("{exchange}queue = \"q\""));
    let redis = format!("{shared}[[source]]\nurl = \"redis://h\"\nchannel = \"a\"\n");
    each_says(&redis, &[("pattern = \"e\"", "source[0]: is read whole by every node")]);
    good(&format!("{redis}stream = \"s\""));
    let feed = format!("{shared}[[source]]\nurl = \"tcp://h:1\"\nchannel = \"a\"");
    each_says(&feed, &[("", "have it sent into a queue, a stream or a subject, and read that, which nodes share")]);
}
