//! The rules of the broker between nodes.

use super::tests_rules::each_has_one;

#[test]
fn rules_of_the_broker() {
    each_has_one(&[
        (
            "broker.driver = \"redis\"",
            "broker.url: is empty while broker.driver is \"redis\"; write \"redis://127.0.0.1:6379/0\"",
        ),
        (
            "broker.driver = \"redis\"\nbroker.url = \"amqp://:secret@a\"",
            "j.toml:2: broker.url: is no address of broker.driver \"redis\"; write \"redis://127.0.0.1:6379/0\"",
        ),
        (
            "broker.url = \"redis://a\"",
            "j.toml:1: broker.url: is given to no driver that connects anywhere; set broker.driver to \"redis\", \"rabbitmq\" or \"nats\"",
        ),
        (
            "broker.driver = \"rabbitmq\"\nbroker.url = \"amqp://a\"\n[channel.without_namespace]\nhistory_size = 1\nhistory_ttl = \"48h\"",
            "j.toml:5: channel.without_namespace.history_ttl: is more than broker.stream_max_age; RabbitMQ forgets publications after that: raise it before the first start, or lower this",
        ),
        (
            "broker.driver = \"rabbitmq\"\nbroker.url = \"amqp://a\"\n[channel.without_namespace]\nsnapshot = true",
            "j.toml:4: channel.without_namespace.snapshot: is on while broker.driver is \"rabbitmq\", whose streams forget values with the publications that set them; use broker.driver = \"redis\"",
        ),
        (
            "broker.driver = \"nats\"\nbroker.url = \"nats://a\"\n[channel.without_namespace]\nhistory_size = 1\nhistory_ttl = \"48h\"",
            "j.toml:5: channel.without_namespace.history_ttl: is more than broker.stream_max_age; NATS forgets publications after that: raise it before the first start, or lower this",
        ),
        (
            "broker.driver = \"nats\"\nbroker.url = \"tls://a\"\n[channel.without_namespace]\nsnapshot = true",
            "j.toml:4: channel.without_namespace.snapshot: is on while broker.driver is \"nats\", whose streams forget values with the publications that set them; use broker.driver = \"redis\"",
        ),
        (
            "broker.driver = \"nats\"\nbroker.url = \"redis://a\"",
            "j.toml:2: broker.url: is no address of broker.driver \"nats\"; write \"nats://127.0.0.1:4222\"",
        ),
        (
            "broker.driver = \"nats\"\nbroker.url = \"nats://a\"\nbroker.prefix = \"a..b\"",
            "j.toml:3: broker.prefix: \"a..b\" is no subject of NATS; write words with single dots between",
        ),
        (
            "broker.driver = \"nats\"\nbroker.url = \"nats://a\"\nbroker.stream_replicas = 6",
            "j.toml:3: broker.stream_replicas: is 6; NATS keeps a stream on 1 to 5 servers",
        ),
        (
            "broker.driver = \"redis\"\nbroker.url = \"redis://a\"\nbroker.stream_replicas = 3",
            "j.toml:3: broker.stream_replicas: is for NATS, and broker.driver is \"redis\"; leave it out",
        ),
        ("broker.prefix = \"\"", "j.toml:1: broker.prefix: is empty; write \"jackfield\""),
        (
            "broker.prefix = \"a{b\"",
            "j.toml:1: broker.prefix: \"a{b\" holds '{'; a prefix has letters, digits, _ - and .",
        ),
        (
            "broker.driver = \"redis\"\nbroker.url = \"redis://a\"\nhistory.path = \"x\"\n[channel.without_namespace]\nhistory_size = 1\nhistory_ttl = \"1s\"\ndurable = true",
            "j.toml:7: channel.without_namespace.durable: is on while broker.driver is \"redis\", which keeps the history of all nodes; leave it out",
        ),
        (
            "broker.driver = \"redis\"\nbroker.url = \"redis://a\"\n[[channel.namespaces]]\nname = \"m\"\nsubscription_type = \"map\"\nmap.mode = \"ephemeral\"",
            "j.toml:5: channel.namespaces[0].subscription_type: is a map while broker.driver is \"redis\"; maps are kept by one node: use broker.driver = \"memory\"",
        ),
    ]);
}
