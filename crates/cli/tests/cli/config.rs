use crate::support::{Device, check};

#[test]
fn what_is_in_force_is_printed_as_a_config_file_that_reads_back() {
    let device = Device::new();
    let printed =
        device.run(&["relay", "--limit", "headers_max=7", "--origin", "https://a.example", "--print-config"]).ok();
    device.write("printed.toml", &printed);
    let again = device.run(&["--config", "printed.toml", "--print-config"]).ok();
    let body = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(body(&again), body(&printed), "all but the line that names the file");
    check("print_config", &printed);
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let device = Device::new();
    device.write("c.toml", "relays = [\"ws://file.example\"]\n[relay]\nlisten = \"127.0.0.1:1000\"\n");
    let listen = |line: &[&str], environment: &[(&str, &str)]| {
        let mut line = line.to_vec();
        line.extend(["--config", "c.toml", "--print-config"]);
        let printed = device.run_with(&line, environment, b"").ok();
        printed.lines().find(|line| line.starts_with("listen")).unwrap().to_owned()
    };
    let variable = [("COMITY_LISTEN", "127.0.0.1:2000")];
    assert_eq!(listen(&["relay"], &[]), "listen = \"127.0.0.1:1000\"");
    assert_eq!(listen(&["relay"], &variable), "listen = \"127.0.0.1:2000\"");
    assert_eq!(listen(&["relay", "--listen", "127.0.0.1:3000"], &variable), "listen = \"127.0.0.1:3000\"");
    let relays = device.run_with(&["--config", "c.toml", "--print-config"], &[("COMITY_RELAYS", "ws://a,ws://b")], b"");
    assert!(relays.out.contains("ws://a/") && !relays.out.contains("file.example"), "{relays}");
}

#[test]
fn a_mistake_in_the_file_is_told_with_line_and_column() {
    let device = Device::new();
    let mut text = String::new();
    for wrong in [
        "x = 1\n",
        "name = \"a\"\nrelays = [\n  \"ws://a\",\n  \"http://b\",\n]\n",
        "[limits]\nping_interval = \"often\"\n",
        "[limits]\nmesage_bytes_max = 3\n",
        "[limits]\nmessage_bytes_max = true\n",
        "[limits]\nping_interval = 100\n",
        "[relay]\nlisten = \"here\"\n",
        "[[kind]]\nname = \"inventory\"\nfields = [{ name = \"count\", type = \"integr\" }]\n",
        "[[kind]]\nname = \"inventory\"\nfields = [{ name = \"life\" }]\n",
    ] {
        device.write("c.toml", wrong);
        let ran = device.run(&["status", "--config", "c.toml"]);
        assert_eq!(ran.code, 2, "{ran}");
        text.push_str(&format!("{wrong}{}\n", ran.err));
    }
    check("config_mistakes", &text);
}

#[test]
fn a_kind_of_ones_own_is_checked_like_the_others() {
    let device = Device::new();
    let kind = "[[kind]]\nname = \"inventory\"\nclosed = true\nfields = [{ name = \"count\", type = \"integer\" }, { name = \"seen\", type = \"time\" }]\n";
    device.write("data/config.toml", kind);
    device.run(&["doc", "new", "inventory", "Shed"]).ok();
    check(
        "own_kind",
        &device.session(&[
            &["set", "Shed", "cables", "count=12", "seen=2026-11-21T12:00:00+01:00"],
            &["set", "Shed", "cables", "count=many"],
            &["set", "Shed", "cables", "colour=red"],
            &["set", "Shed", "cables", "seen=yesterday"],
            &["export", "Shed", "--format", "csv"],
        ]),
    );
}

#[test]
fn naming_a_device_keeps_the_rest_of_its_config_file() {
    let device = Device::new();
    device.write("data/config.toml", "# mine\nname = \"old\"\nrelays = [\"ws://a\"]\n\n[devices]\nname = \"kept\"\n");
    device.run(&["init", "--name", "new \"one\""]).ok();
    let text = std::fs::read_to_string(device.path("data/config.toml")).unwrap();
    assert_eq!(text, "name = 'new \"one\"'\n# mine\nrelays = [\"ws://a\"]\n\n[devices]\nname = \"kept\"\n");
}

#[test]
fn without_a_folder_given_a_device_and_a_relay_have_their_own() {
    let device = Device::bare();
    let folder = |line: &[&str]| {
        let mut command = device.command(line);
        let output = command.env_remove("COMITY_DATA").arg("--print-config").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let data = text.lines().find(|line| line.starts_with("data = ")).unwrap();
        data.rsplit('/').next().unwrap().trim_end_matches('"').to_owned()
    };
    assert_eq!(folder(&["status"]), "comity");
    assert_eq!(folder(&["relay"]), "comity-relay");
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let device = Device::new();
    let folder = device.path("data").display().to_string();
    let line = ["relay", "--data", &folder, "--print-config"];
    let usual = device.run(&line).ok();
    for name in [
        "COMITY_DATA",
        "COMITY_CONFIG",
        "COMITY_RELAYS",
        "COMITY_LOG",
        "COMITY_LISTEN",
        "COMITY_LIMITS",
        "COMITY_ORIGINS",
        "COMITY_TLS_CERT",
        "COMITY_TLS_KEY",
        "COMITY_LOG_FORMAT",
    ] {
        let ran = device.run_with(&line, &[(name, "")], b"");
        assert_eq!((ran.code, &ran.out), (0, &usual), "{name}: {ran}");
        device.run_with(&["status", "--data", &folder], &[(name, "")], b"").ok();
    }
    let unnamed = device.run_with(&["status"], &[("COMITY_DATA", "")], b"");
    assert!(unnamed.err.contains(".local/share/comity"), "the default is used: {unnamed}");
    let empty = device.run(&["status", "--data", ""]);
    assert_eq!(empty.code, 2, "an empty flag is a mistake: {empty}");
}

#[test]
fn what_comes_next_names_the_folder_that_was_given() {
    let device = Device::bare();
    let ran = device.run(&["init", "--data", "my tablet"]);
    assert!(ran.err.contains("next: comity --data 'my tablet' doc new"), "{ran}");
    let ran = device.run(&["init"]);
    assert!(ran.err.contains("next: comity doc new"), "the variable stays set: {ran}");
}
