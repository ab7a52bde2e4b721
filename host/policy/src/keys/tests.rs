use super::*;
use serde_json::json;

fn keyring(journal: &Arc<Journal>) -> (Arc<Keyring>, Arc<Peppers>) {
    let keyring = Keyring::open(journal.clone(), None).unwrap();
    let peppers = adopted(&keyring, None);
    (keyring, peppers)
}

fn adopted(keyring: &Keyring, named: Option<&Secret>) -> Arc<Peppers> {
    let peppers = keyring.pepper(named).unwrap();
    keyring.adopt(named);
    peppers
}

fn wanted(value: serde_json::Value) -> Wanted {
    serde_json::from_value(value).unwrap()
}

fn terms(consumer: &str) -> Wanted {
    wanted(json!({ "consumer": consumer, "scopes": ["read"], "plan": "gold", "metadata": { "team": "a" } }))
}

fn find(keyring: &Keyring, peppers: &Peppers, text: &str) -> Result<String, Refused> {
    keyring.at_hand().find(text, "lk", peppers).map(|entry| entry.consumer.id().to_owned())
}

#[test]
fn the_life_of_a_key() {
    let journal = Arc::new(Journal::nowhere());
    let (ring, peppers) = keyring(&journal);
    let first = ring.create(terms("ada")).unwrap();
    let id = first.record.id.clone();
    assert_eq!(find(&ring, &peppers, &first.text), Ok("ada".to_owned()));
    let named = ring.get(&id).unwrap().consumer.clone();
    assert_eq!(
        (named.attribute("plan"), named.attribute("team"), named.attribute("key")),
        (Some("gold"), Some("a"), Some(&*id))
    );
    assert_eq!(named.scopes, [Box::<str>::from("read")]);

    let (second, old) = ring.rotate(&id, Duration::from_secs(60)).unwrap();
    assert_eq!(find(&ring, &peppers, &first.text), Ok("ada".to_owned()), "both, for a while");
    assert_eq!(find(&ring, &peppers, &second.text), Ok("ada".to_owned()));
    assert_eq!(
        (&old.replaced_by, &second.record.replaces),
        (&Some(second.record.id.clone()), &Some(id.clone()))
    );
    assert!(matches!(ring.rotate(&id, Duration::ZERO), Err(KeyError::Conflict(_))));

    ring.revoke(&id).unwrap();
    assert_eq!(find(&ring, &peppers, &first.text), Err(Refused::Revoked(id.clone())));
    assert!(matches!(ring.rotate(&id, Duration::ZERO), Err(KeyError::Conflict(_))));
    let (third, _) = ring.rotate(&second.record.id, Duration::ZERO).unwrap();
    assert_eq!(find(&ring, &peppers, &second.text), Err(Refused::Expired(second.record.id.clone())));
    assert!(matches!(ring.revoke("nobody"), Err(KeyError::Unknown)));

    drop(ring);
    let (ring, peppers) = keyring(&journal);
    assert_eq!(ring.list().len(), 3);
    assert_eq!(find(&ring, &peppers, &third.text), Ok("ada".to_owned()));
    assert_eq!(find(&ring, &peppers, &first.text), Err(Refused::Revoked(id.clone())));
    assert!(ring.get(&id).unwrap().used().is_some() && ring.get(&third.record.id).unwrap().used().is_some());
}

#[test]
fn a_key_that_is_not_right_is_refused() {
    let (ring, peppers) = keyring(&Arc::new(Journal::nowhere()));
    let made = ring.create(terms("ada")).unwrap();
    let (id, text) = (&made.record.id, made.text.as_str());
    let stranger = text::NewText::new("lk").unwrap();
    assert_eq!(find(&ring, &peppers, &stranger.text), Err(Refused::Unknown(stranger.id.clone())));
    let other = ring.create(wanted(json!({ "consumer": "eve", "prefix": "other" }))).unwrap();
    assert_eq!(find(&ring, &peppers, &other.text), Err(Refused::OtherPrefix(other.record.id.clone())));
    assert_eq!(find(&ring, &peppers, &text[1..]), Err(Refused::Malformed));
    // Another secret with its own right checksum.
    let wrong = text::with_id(&text::NewText::new("lk").unwrap().text, id);
    assert_eq!(find(&ring, &peppers, &wrong), Err(Refused::Wrong(id.clone())));
    for wrong in [
        json!({ "consumer": "" }),
        json!({ "consumer": "a\nb" }),
        json!({ "consumer": "a", "scopes": ["two words"] }),
        json!({ "consumer": "a", "prefix": "UPPER" }),
        json!({ "consumer": "a", "metadata": { "plan": "x" } }),
        json!({ "consumer": "a", "expires": "2020-01-01T00:00:00Z" }),
        json!({ "consumer": "a", "key": "0123456789abcdef" }),
    ] {
        assert!(matches!(ring.create(wanted(wrong.clone())), Err(KeyError::Invalid(_))), "{wrong}");
    }
}

#[test]
fn keys_come_from_elsewhere_in_clear_or_hashed() {
    let (ring, peppers) = keyring(&Arc::new(Journal::nowhere()));
    let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of "test"
    let arrivals = || {
        serde_json::from_value::<Vec<Wanted>>(json!([
            { "key": "5SRmk6gLnTy1SyQ1Cl9GzoRXJbjYGZbZ", "consumer": "ada" },
            { "sha256": sha256, "consumer": "eve", "scopes": ["x"] },
            { "key": "5SRmk6gLnTy1SyQ1Cl9GzoRXJbjYGZbZ", "consumer": "twice" },
        ]))
        .unwrap()
    };
    assert_eq!(ring.import(arrivals()).unwrap().len(), 2);
    assert_eq!(ring.import(arrivals()).unwrap().len(), 0, "they are there");
    assert_eq!(find(&ring, &peppers, "5SRmk6gLnTy1SyQ1Cl9GzoRXJbjYGZbZ"), Ok("ada".to_owned()));
    assert_eq!(find(&ring, &peppers, "test"), Ok("eve".to_owned()));
    assert_eq!(find(&ring, &peppers, "Test"), Err(Refused::Malformed));
    let eve = ring.list().into_iter().find(|entry| entry.consumer.id() == "eve").unwrap();
    ring.revoke(&eve.record.id).unwrap();
    assert!(matches!(find(&ring, &peppers, "test"), Err(Refused::Revoked(_))));
    let short = serde_json::from_value(json!([{ "key": "short", "consumer": "x" }])).unwrap();
    assert!(matches!(ring.import(short), Err(KeyError::Invalid(_))));
}

#[test]
fn a_pepper_may_be_replaced_and_not_lost() {
    let journal = Arc::new(Journal::nowhere());
    let (ring, _) = keyring(&journal);
    let first = ring.create(terms("ada")).unwrap();
    let named = Secret::new("pepper", b"one".to_vec(), None);
    let peppers = adopted(&ring, Some(&named));
    assert!(find(&ring, &peppers, &first.text).is_ok(), "the one that was made is known");
    let second = ring.create(terms("eve")).unwrap();
    let next = Secret::new("pepper", b"two".to_vec(), Some(b"one".to_vec()));
    assert!(ring.pepper(Some(&next)).is_ok());
    let third = ring.create(terms("bob")).unwrap();
    assert!(find(&ring, &peppers, &third.text).is_ok(), "what is only looked at is not in force");
    let peppers = adopted(&ring, Some(&next));
    assert!(find(&ring, &peppers, &second.text).is_ok());
    let lost = Secret::new("pepper", b"two".to_vec(), None);
    assert!(ring.pepper(Some(&lost)).unwrap_err().to_string().contains("another pepper"));
    for made in [second, third] {
        ring.revoke(&made.record.id).unwrap();
    }
    assert!(ring.pepper(Some(&lost)).is_ok(), "of a key that is not in force nobody asks");
}

#[test]
fn nothing_shows_a_key() {
    let journal = Arc::new(Journal::nowhere());
    let (ring, _) = keyring(&journal);
    let made = ring.create(terms("ada")).unwrap();
    let kept: Vec<_> = [KEYS, PEPPER].iter().flat_map(|table| journal.entries(table)).collect();
    let entry = ring.get(&made.record.id).unwrap();
    let secret = made.text.rsplit_once('_').unwrap().1;
    assert!(!format!("{kept:?} {ring:?} {entry:?}").contains(secret));
}

#[test]
fn what_has_ended_long_ago_is_forgotten() {
    let journal = Arc::new(Journal::nowhere());
    let (ring, _) = keyring(&journal);
    let mut over = ring.create(terms("ada")).unwrap().record;
    let kept = ring.create(terms("eve")).unwrap().record;
    ring.revoke(&kept.id).unwrap();
    over.revoked = Some(now() - 30 * 86_400);
    let mut changes = Changes::default();
    changes.put(KEYS, over.id.clone(), home::encode(&over).unwrap());
    journal.write(changes).unwrap();
    let (ring, _) = keyring(&journal);
    assert_eq!(ring.list().len(), 2);
    ring.forget().unwrap();
    let left: Vec<_> = ring.list().iter().map(|entry| entry.record.id.clone()).collect();
    assert_eq!((left, journal.entries(KEYS).len()), (vec![kept.id], 1));
}
