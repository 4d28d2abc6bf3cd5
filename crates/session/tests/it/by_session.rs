//! Clients that the application lets in by what their request brought: a cookie.

use jackfield_hub::SessionOrder;
use jackfield_model::app::{Answer, ConnectAnswer, InvalidTokens, Revocation};
use jackfield_session::{Keepalive, Settings, Visitor};

use crate::client::{Client, House, START, json, token, with_tokens};

fn with_cookie(house: &mut House) -> Client {
    let headers = vec![("Cookie".into(), "sessionid=1".to_owned())];
    house.visit_as(&json(Keepalive::Messages), |visitor| Visitor { headers, ..visitor })
}

fn by_session(house: &mut House, client: &mut Client, session: &str) {
    client.say(house, r#"{"id":1,"connect":{}}"#);
    let call = client.take().events[0].1.unwrap();
    let answer = ConnectAnswer { user: "ann".into(), token_id: Some(session.into()), ..ConnectAnswer::default() };
    client.answer(house, call, Answer::Connect(answer));
}

#[test]
fn what_the_application_let_it_in_by_can_be_revoked_like_a_token() {
    let mut house = House::open();
    house.settings.connect_call = Some(1_500);
    let mut ann = with_cookie(&mut house);
    ann.say(&mut house, r#"{"id":1,"connect":{}}"#);
    let heard = ann.take();
    let (event, call) = &heard.events[0];
    let hello = event.hello.as_ref().unwrap();
    assert_eq!(hello.headers, [("Cookie".into(), "sessionid=1".to_owned())]);
    let answer = ConnectAnswer { user: "ann".into(), token_id: Some("s1".into()), ..ConnectAnswer::default() };
    ann.answer(&mut house, call.unwrap(), Answer::Connect(answer));
    assert!(ann.take().lines[0].contains(r#""connect":{"client""#));

    // Another one of its own is nothing to it.
    house.hub.revoke(&Revocation { uid: "s2".into(), ..Revocation::default() });
    ann.obey(&mut house, &SessionOrder::VoidToken);
    assert_eq!(ann.take().closed, None);
    house.hub.revoke(&Revocation { uid: "s1".into(), ..Revocation::default() });
    ann.obey(&mut house, &SessionOrder::VoidToken);
    assert_eq!(ann.take().closed.map(|end| end.code), Some(3500));

    // An answer that was given before the application knew does not count.
    let mut late = with_cookie(&mut house);
    by_session(&mut house, &mut late, "s1");
    assert_eq!(late.take().closed.map(|end| end.code), Some(3500));

    // Whoever is to come again is asked about again: it has no token that it could renew.
    house.hub.revoke(&Revocation { uid: "s3".into(), renew: true, ..Revocation::default() });
    let mut again = with_cookie(&mut house);
    by_session(&mut house, &mut again, "s3");
    assert_eq!(again.take().closed.map(|end| end.code), Some(3005));
}

#[test]
fn answers_older_than_a_mark_of_their_user_are_void() {
    let mut house = House::open();
    house.settings.connect_call = Some(1_500);
    let mark = InvalidTokens { user: "ann".into(), issued_before: START.millis, ..InvalidTokens::default() };
    house.hub.invalidate(&mark);
    let mut ann = with_cookie(&mut house);
    by_session(&mut house, &mut ann, "s1");
    assert!(ann.take().lines[0].contains(r#""connect":{"client""#), "it was asked about at that time, not before");
    house.hub.invalidate(&InvalidTokens { issued_before: START.millis + 1, ..mark });
    ann.obey(&mut house, &SessionOrder::VoidToken);
    assert_eq!(ann.take().closed.map(|end| end.code), Some(3500));
}

#[test]
fn a_client_with_a_token_is_judged_by_it_and_its_headers_are_dropped() {
    let mut house = House::new(Settings { connect_call: Some(1_500), ..with_tokens() }, Vec::new());
    let mut ann = with_cookie(&mut house);
    let token = token(&serde_json::json!({"sub": "eve"}));
    ann.say(&mut house, &format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#));
    let heard = ann.take();
    assert!(
        heard.events.iter().all(|(_, call)| call.is_none()) && heard.lines[0].contains(r#""connect""#),
        "{heard:?}"
    );
    assert_eq!(ann.session.user(), "eve");
}
