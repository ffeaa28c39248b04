//! The codec as a whole, walked along the table of messages.

use super::*;
use crate::slurm::wire::message::MESSAGES;
use crate::slurm::wire::message::Row;
use proptest::prelude::*;

/// splitmix64.
fn chooser(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn sample(row: &Row, seed: u64) -> (Message, Vec<u8>) {
    let message = (row.sample)(&mut chooser(seed));
    assert_eq!(message.kind(), row.kind);
    let body = message.pack(Version::NEWEST).unwrap();
    (message, body)
}

/// A value, which is the same after another journey, or an error that names a place inside.
fn judged(kind: u16, body: &[u8]) -> Result<Message, WireError> {
    let outcome = Message::unpack(kind, Version::NEWEST, body);
    match &outcome {
        Ok(message) => {
            let again = message.pack(Version::NEWEST).unwrap();
            assert_eq!(Message::unpack(kind, Version::NEWEST, &again).as_ref(), Ok(message));
        }
        Err(error) => assert!(error.at <= body.len(), "{error}"),
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_unpacks_to_what_was_packed(at in 0..MESSAGES.len(), seed: u64) {
        let (message, body) = sample(&MESSAGES[at], seed);
        prop_assert_eq!(judged(message.kind(), &body), Ok(message));
    }

    #[test]
    fn mutated_bytes_are_a_value_or_an_error(
        at in 0..MESSAGES.len(),
        seed: u64,
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..8),
    ) {
        let (message, mut body) = sample(&MESSAGES[at], seed);
        for (place, byte) in changes {
            let len = body.len().max(1);
            if let Some(hit) = body.get_mut(usize::from(place) % len) {
                *hit ^= byte;
            }
        }
        let _ = judged(message.kind(), &body);
    }

    #[test]
    fn noise_is_a_value_or_an_error(kind: u16, at in 0..MESSAGES.len(), noise: Vec<u8>) {
        let _ = judged(kind, &noise);
        let _ = judged(MESSAGES[at].kind, &noise);
        let _ = frame::Frame::unpack(&noise);
    }
}

#[test]
fn every_prefix_is_an_error() {
    for row in MESSAGES {
        for seed in 0..3 {
            let (_, body) = sample(row, seed);
            for len in 0..body.len() {
                let error = judged(row.kind, &body[..len]).expect_err(row.name);
                let cut = matches!(error.why, Why::Short { .. } | Why::Count { .. });
                assert!(cut, "{} cut to {len}: {error}", row.name);
            }
            let longer = [&body[..], &[0]].concat();
            let error = judged(row.kind, &longer).expect_err(row.name);
            assert_eq!(error.why, Why::Trailing(1), "{}", row.name);
        }
    }
}

#[test]
fn lengths_that_claim_too_much_are_refused_before_anything_is_allocated() {
    for row in MESSAGES {
        let (_, body) = sample(row, 1);
        for at in 0..body.len().saturating_sub(3) {
            for claim in [0x7fff_ffff_u32, u32::MAX, u32::MAX - 2, 1 << 24] {
                let mut claiming = body.clone();
                claiming[at..at + 4].copy_from_slice(&claim.to_be_bytes());
                let _ = judged(row.kind, &claiming);
            }
        }
    }
    let body = [u32::MAX.to_be_bytes(); 3].concat();
    let error = Message::unpack(2008, Version::NEWEST, &body).unwrap_err();
    assert_eq!(error.why, Why::Count { count: u32::MAX, left: 8 });
}

#[test]
fn an_error_names_the_innermost_field_and_where_it_begins() {
    let message = Message::Submit(Box::default());
    let mut body = message.pack(Version::NEWEST).unwrap();
    body[4 + 3] = 9;
    let error = judged(4003, &body[..9]).unwrap_err();
    assert_eq!((error.record, error.field, error.at), ("JobDesc", "batch_features", 4));
    let body = Message::KillTimeLimit(Box::default()).pack(Version::NEWEST).unwrap();
    let mut signed = vec![1];
    signed.extend(tables::SignedCred::default().packed());
    signed.truncate(30);
    let error = judged(6009, &signed).unwrap_err();
    assert_eq!((error.record, error.field), ("Cred", "pw_dir"));
    assert_eq!(body[0], 0);
}

#[test]
fn the_table_is_ascending_and_its_limits_fit_a_frame() {
    assert!(MESSAGES.is_sorted_by(|one, next| one.kind < next.kind));
    for row in MESSAGES {
        assert!(row.body_max <= limits::FRAME_MAX && row.since.edition().is_some());
        assert_eq!(message::row(row.kind).map(|found| found.name), Some(row.name));
    }
    assert!(message::row(1).is_none());
}

#[test]
fn a_version_without_a_table_is_refused() {
    let unknown = Version(0x2700);
    assert_eq!(Message::Ping.pack(unknown).unwrap_err().why, Why::Version(0x2700));
    assert!(Message::unpack(1008, unknown, b"").is_err());
    let old = Message::unpack(2007, Version::V21_08, &[0; 10]).unwrap_err();
    assert_eq!(old.why, Why::Version(0x2500));
    assert_eq!(Message::unpack(1008, Version::V20_11, b""), Ok(Message::Ping));
}

mod ledger {
    use super::*;

    record::record! {
        /// A table as it would be with a newer protocol: one field came, one went.
        Growing {
            always: u16;
            came: u32, since V22_05;
            went: Text, until V21_08;
        }
    }

    #[test]
    fn a_field_travels_only_in_the_versions_that_have_it() {
        let value = Growing { always: 1, came: 2, went: Text::from("x") };
        let travel = |version| {
            let mut out = Writer::new(version);
            value.pack(&mut out);
            let bytes = out.into_bytes();
            (bytes.len(), unpack_all::<Growing>(&bytes, version).unwrap())
        };
        let (newest, seen) = travel(Version::V22_05);
        assert_eq!((newest, &seen), (6, &Growing { went: Text::NONE, ..value.clone() }));
        let (middle, seen) = travel(Version::V21_08);
        assert_eq!((middle, seen.came, &seen.went), (2, u32::UNSET, &Text::NONE));
        let (oldest, seen) = travel(Version::V20_11);
        assert_eq!((oldest, seen.came, &seen.went), (8, u32::UNSET, &Text::from("x")));
        assert_eq!(Growing::LEAST, 2);
    }
}

mod framed {
    use super::*;
    use crate::slurm::wire::constants::auth;
    use crate::slurm::wire::frame::Frame;
    use crate::slurm::wire::frame::Head;
    use crate::slurm::wire::frame::Header;
    use crate::slurm::wire::frame::LENGTH_LEN;

    fn ping(version: Version) -> Vec<u8> {
        frame::pack(&Header::new(version, 1008, 0), auth::MUNGE, b"MUNGE:x:", b"")
    }

    #[test]
    fn a_frame_of_every_version_comes_back() {
        for edition in version::LEDGER {
            let bytes = ping(edition.version);
            let head: [u8; LENGTH_LEN] = bytes[..LENGTH_LEN].try_into().unwrap();
            assert_eq!(frame::length(head), Ok(bytes.len() - LENGTH_LEN));
            let found = Frame::unpack(&bytes[LENGTH_LEN..]).unwrap();
            assert_eq!(found.head.header, Header::new(edition.version, 1008, 0));
            assert_eq!(found.head.credential, b"MUNGE:x:");
            assert_eq!(found.head.header_bytes, found.head.header.pack());
        }
    }

    #[test]
    fn a_head_can_be_read_while_its_bytes_arrive() {
        let bytes = &ping(Version::NEWEST)[LENGTH_LEN..];
        for len in 0..bytes.len() {
            let error = Head::unpack(&bytes[..len]).unwrap_err();
            assert!(Head::wants_more(&error, len), "{error}");
        }
        let claims = [&bytes[..20], &[0x7f; 4], &[0; limits::HEAD_MAX]].concat();
        let error = Head::unpack(&claims).unwrap_err();
        assert!(!Head::wants_more(&error, claims.len()), "{error}");
    }

    #[test]
    fn forwarding_is_refused_by_name() {
        let bytes = ping(Version::NEWEST);
        for (at, word) in [(10, "forward"), (12, "replies")] {
            let mut forwarding = bytes[LENGTH_LEN..].to_vec();
            forwarding[at + 1] = 1;
            let error = Frame::unpack(&forwarding).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn an_origin_of_either_family_is_passed_over() {
        let bytes = ping(Version::NEWEST);
        let plain = &bytes[LENGTH_LEN..];
        let v4 = [&[0, 2][..], &[1, 0, 0, 127, 0x1a, 0x2b]].concat();
        let v6 = [&[0, 10][..], &[0, 0, 0, 16], &[1; 16], &[0x1a, 0x2b]].concat();
        for origin in [v4, v6] {
            let from = [&plain[..14], &origin, &plain[16..]].concat();
            let found = Frame::unpack(&from).unwrap();
            assert_eq!(found.head.credential, b"MUNGE:x:");
        }
        let odd = [&plain[..14], &[0, 3], &plain[16..]].concat();
        assert!(Frame::unpack(&odd).is_err());
    }

    #[test]
    fn a_body_is_as_long_as_the_header_says_and_no_longer_than_its_kind() {
        let bytes = ping(Version::NEWEST);
        let longer = [&bytes[LENGTH_LEN..], &[0]].concat();
        assert_eq!(Frame::unpack(&longer).unwrap_err().why, Why::Trailing(1));
        let header = Header::new(Version::NEWEST, 1008, limits::SMALL_MAX + 1);
        let bytes = frame::pack(&header, auth::MUNGE, b"x", &[0; limits::SMALL_MAX + 1]);
        let error = Frame::unpack(&bytes[LENGTH_LEN..]).unwrap_err();
        assert!(matches!(error.why, Why::Limit { .. }), "{error}");
        let header = Header::new(Version::NEWEST, 9, 0);
        let bytes = frame::pack(&header, auth::MUNGE, b"x", b"");
        assert_eq!(Frame::unpack(&bytes[LENGTH_LEN..]).unwrap_err().why, Why::Message(9));
        let too_long = (limits::FRAME_MAX as u32 + 1).to_be_bytes();
        assert!(frame::length(too_long).is_err());
    }
}
