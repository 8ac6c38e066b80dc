//! What Automerge does, and what we say: each trap of the design.

use comity_model::Heads;
use comity_review::{ConflictKind, State};

use crate::support::{Device, disputed, key, pair, set, sync_all};

fn values(device: &Device, register: &str) -> usize {
    device.document.register(&key(register), None).map_or(0, |register| register.versions.len())
}

#[test]
fn putting_the_shown_value_again_only_deletes_the_others_and_is_listed() {
    let mut devices = disputed();
    let shown = devices[0].shown("M050/status");
    devices[0].edit(&[set("M050/status", shown.as_str())]);
    assert_eq!(values(&devices[0], "M050/status"), 1, "Automerge has forgotten that there were two");
    sync_all(&mut devices);
    let conflict = devices[1].only(State::Open);
    assert_eq!(conflict.kind, ConflictKind::ImplicitResolution);
    assert!(conflict.writes().any(|write| write.value.as_ref().is_some_and(|value| value.to_string() != shown)));
}

#[test]
fn a_plain_put_over_two_values_is_an_implicit_resolution() {
    let mut devices = disputed();
    devices[0].edit(&[set("M050/status", "string_open")]);
    sync_all(&mut devices);
    let conflict = devices[1].only(State::Open);
    assert_eq!((conflict.kind, conflict.sides.len()), (ConflictKind::ImplicitResolution, 3));
    assert_eq!(conflict.base[0].values, [Some("ok".into())]);
}

#[test]
fn a_third_writer_with_a_lower_id_is_a_side_like_any_other() {
    let mut devices = [Device::new(3), Device::new(2), Device::new(1)];
    for (device, status) in devices.iter_mut().zip(["dead", "microcracks", "ok"]) {
        device.edit(&[set("M050/status", status)]);
    }
    sync_all(&mut devices);
    assert_eq!(devices[0].only(State::Open).sides.len(), 3);
}

#[test]
fn a_change_made_at_older_heads_has_not_seen_what_came_since() {
    let mut devices = pair();
    let on_screen = devices[0].document.heads().clone();
    devices[1].edit(&[set("M050/status", "dead")]);
    sync_all(&mut devices);
    // The person still looks at the old page.
    devices[0].edit_at(&on_screen, &[set("M050/status", "microcracks")]);
    let conflict = devices[0].only(State::Open);
    assert_eq!(conflict.kind, ConflictKind::ConcurrentUpdate);
    assert_eq!(conflict.base[0].values, [Some("ok".into())]);
    sync_all(&mut devices);
}

#[test]
fn a_change_at_older_heads_of_the_same_device_is_no_different() {
    let mut devices = pair();
    let on_screen: Heads = devices[0].document.heads().clone();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[0].edit_at(&on_screen, &[set("M050/status", "microcracks")]);
    assert_eq!(devices[0].only(State::Open).sides.len(), 2);
}

#[test]
fn what_is_shown_is_not_what_was_written_last() {
    let mut devices = pair();
    // Three edits make the operation of the first device the greater one, though the other wrote later.
    for status in ["dead", "ok", "inequality"] {
        devices[0].edit(&[set("M050/status", status)]);
    }
    (0..9).for_each(|_| devices[1].edit(&[]));
    devices[1].edit(&[set("M050/status", "microcracks")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    let latest = conflict.writes().max_by_key(|write| write.act.unwrap().time).unwrap();
    assert_eq!(conflict.shown().unwrap().value, Some("inequality".into()));
    assert_eq!(latest.value, Some("microcracks".into()));
}
