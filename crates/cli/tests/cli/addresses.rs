//! Mistakes of first users with addresses, certificates and files.

use crate::support::{Device, Running};

/// A certificate for `localhost` that signs itself, and its key, as files of a device.
fn certificate(device: &Device, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    device.write(&format!("{name}.pem"), made.cert.pem());
    device.write(&format!("{name}.key"), made.signing_key.serialize_pem());
}

#[test]
fn an_address_that_cannot_be_listened_on_says_why() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let taken = url.strip_prefix("ws://").unwrap();
    let second = Device::bare().run(&["relay", "--listen", taken]);
    assert!(second.code == 1 && second.err.contains("is another relay running there?"), "{second}");
    // Set aside for documentation: no machine has it.
    let elsewhere = Device::bare().run(&["relay", "--listen", "192.0.2.1:8470"]);
    assert_eq!(elsewhere.code, 2, "{elsewhere}");
    assert!(elsewhere.err.contains("no network interface of this machine has that address"), "{elsewhere}");
    assert!(!elsewhere.err.contains("another relay"), "{elsewhere}");
}

#[test]
fn certificates_that_do_not_fit_are_named_in_words() {
    let home = Device::bare();
    certificate(&home, "own");
    certificate(&home, "other");
    home.write("empty.pem", "");
    for (line, reason) in [
        (["own.pem", "other.key"], "other.key: it is not the key of own.pem"),
        (["own.pem", "empty.pem"], "empty.pem: it holds no private key"),
        (["empty.pem", "own.key"], "empty.pem: it holds no certificate"),
    ] {
        let ran = home.run(&["relay", "--listen", "127.0.0.1:0", "--tls-cert", line[0], "--tls-key", line[1]]);
        assert!(ran.code == 7 && ran.err.contains(reason), "{ran}");
    }
    let tls = &["relay", "--listen", "127.0.0.1:0", "--quiet", "--tls-cert", "own.pem", "--tls-key", "own.key"];
    let mut relay = Running::start(&home, tls);
    let address = relay.line().rsplit(':').next().unwrap().to_owned();
    let (secure, plain) = (format!("wss://localhost:{address}"), format!("ws://localhost:{address}"));
    let tablet = Device::new();
    for (line, reason) in [
        (vec![plain.as_str()], "a relay with TLS has an address that begins with wss://"),
        (vec![secure.as_str()], "not from an authority that is trusted here"),
    ] {
        let ran = tablet.run(&[&["sync", "--once", "--timeout", "2s"], line.as_slice()].concat());
        assert!(ran.code == 1 && ran.err.contains(reason), "{ran}");
        assert!(!ran.err.contains("UnknownIssuer") && !ran.err.contains("httparse"), "{ran}");
    }
    let own = home.path("own.pem");
    tablet.run(&["sync", "--once", &secure, "--trust", own.to_str().unwrap()]).ok();
    assert_eq!(relay.interrupt().1, 0);
}

#[test]
fn a_file_to_trust_without_a_certificate_is_refused_at_once() {
    let tablet = Device::new();
    tablet.write("empty.pem", "nothing here");
    let ran = tablet.run(&["sync", "wss://localhost:1", "--once", "--trust", "empty.pem"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.err.contains("empty.pem: it holds no certificate in PEM form"), "{ran}");
    let ran = tablet.run(&["sync", "wss://localhost:1", "--trust", "gone.pem"]);
    assert_eq!(ran.code, 3, "{ran}");
}

#[test]
fn an_export_writes_over_a_file_only_when_told() {
    let device = Device::with_audit();
    device.write("roof.csv", "precious");
    let ran = device.run(&["export", "Roof 7", "-o", "roof.csv"]);
    assert_eq!(ran.code, 5, "{ran}");
    assert!(ran.err.contains("roof.csv is there already") && ran.err.contains("--force"), "{ran}");
    assert_eq!(std::fs::read_to_string(device.path("roof.csv")).unwrap(), "precious");
    device.run(&["export", "Roof 7", "-o", "roof.csv", "--force"]).ok();
    assert!(std::fs::read_to_string(device.path("roof.csv")).unwrap().starts_with("entry,"));
}

#[test]
fn a_relay_does_not_run_on_the_folder_of_a_device() {
    let device = Device::with_audit();
    let ran = device.run(&["relay", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 5, "{ran}");
    assert!(ran.err.contains("data is the data folder of a device") && ran.err.contains("--data"), "{ran}");
    device.run(&["show", "Roof 7"]).ok();
}

#[test]
fn a_number_is_not_told_as_if_it_were_a_text() {
    let device = Device::with_audit();
    let ran = device.run(&["set", "Roof 7", "M001", "status:=5"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.err.contains("status must be a text; got 5\n"), "{ran}");
    let ran = device.run(&["set", "Roof 7", "M001", "grade=half"]);
    assert!(!ran.err.contains("must be") || ran.err.contains("got \"half\""), "{ran}");
}

#[test]
fn times_for_people_name_their_zone() {
    let device = Device::with_audit();
    let history = device.run(&["history", "Roof 7", "--limit", "1"]).ok();
    assert!(history.lines().next().unwrap().contains(" UTC  "), "{history}");
    let shown = device.run(&["show", "Roof 7", "M001"]).ok();
    assert!(shown.contains(" UTC"), "{shown}");
}
