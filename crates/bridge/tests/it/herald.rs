//! Channels that come into use and go out of it, told with a delay; and what found nobody.

use std::sync::Arc;
use std::time::Duration;

use jackfield_bridge::{BridgeOptions, HeraldOptions};
use jackfield_hub::Membership;
use jackfield_model::ClientInfo;
use jackfield_model::app::Event;

use crate::fake::{Rig, delivery, pass};

fn rig(delay: u64) -> Rig {
    let herald = HeraldOptions {
        occupied: true,
        vacated: true,
        undelivered: true,
        vacated_delay: Duration::from_millis(delay),
        personal: None,
    };
    Rig::start(BridgeOptions { herald, ..BridgeOptions::default() })
}

/// Comes (`true`) or goes.
fn step(rig: &Rig, channel: &str, comes: bool) {
    let info = Arc::new(ClientInfo::default());
    let member = Membership { worker: 0, info: &info, counted: false, announced: false };
    if comes {
        assert!(rig.hub.subscribe(channel, member, None, 1).is_ok());
    } else {
        rig.hub.unsubscribe(channel, member, true, 1);
    }
}

fn told(rig: &Rig) -> Vec<(&'static str, String)> {
    let told = |event: &Event| (event.kind.name(), event.channel.as_deref().unwrap_or_default().to_owned());
    rig.queue.with(|state| state.sent.drain(..).map(|event| told(&event)).collect())
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_soon_entered_again_was_never_vacated() {
    let rig = rig(1_000);
    step(&rig, "room:a", true);
    step(&rig, "room:a", false);
    pass(900).await;
    assert_eq!(told(&rig), [("occupied", "room:a".to_owned())]);
    step(&rig, "room:a", true);
    pass(5_000).await;
    assert_eq!(told(&rig), []);
    step(&rig, "room:a", false);
    pass(500).await;
    step(&rig, "room:b", true);
    step(&rig, "room:b", false);
    pass(600).await;
    assert_eq!(told(&rig), [("occupied", "room:b".to_owned()), ("vacated", "room:a".to_owned())]);
    pass(600).await;
    assert_eq!(told(&rig), [("vacated", "room:b".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_all_is_told_at_once() {
    let rig = rig(0);
    for comes in [true, false, true, false] {
        step(&rig, "room:a", comes);
    }
    pass(10).await;
    let kinds: Vec<_> = told(&rig).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["occupied", "vacated", "occupied", "vacated"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_no_delay() {
    let rig = rig(60_000);
    step(&rig, "room:a", true);
    step(&rig, "room:a", false);
    let Rig { queue, bridge, .. } = rig;
    bridge.stop(Duration::from_secs(5)).await;
    let kinds: Vec<_> = queue.with(|state| state.sent.iter().map(|event| event.kind.name()).collect());
    assert_eq!(kinds, ["occupied", "vacated"]);
}

#[tokio::test(start_paused = true)]
async fn what_found_nobody_comes_back_with_the_id_of_its_command() {
    let rig = rig(0);
    rig.deliver([delivery(7, "send", r#"{"user":"bob","data":{"n":3}}"#)]);
    pass(100).await;
    let event = rig.queue.with(|state| state.sent.pop()).unwrap();
    assert_eq!((event.kind.name(), &*event.origin.user, &*event.name), ("undelivered", "bob", "id-7"));
    assert_eq!(&event.data.bytes[..], br#"{"n":3}"#);
    assert_eq!(rig.queue.with(|state| state.acknowledged.clone()), [7]);
}
