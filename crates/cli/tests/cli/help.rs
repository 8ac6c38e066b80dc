use crate::support::{Device, check};

#[test]
fn every_command_explains_itself() {
    let device = Device::bare();
    let mut text = String::new();
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(command) = waiting.pop() {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        let ran = device.run(&words);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(ran.err.is_empty(), "help is data: {ran}");
        assert!(ran.out.contains("Examples:") || ran.out.contains("Begin here:") || command == ["exit-codes"], "{ran}");
        let subcommands = ran.out.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        // What stands further in goes on with the line above.
        let names = subcommands.lines().take_while(|line| line.starts_with("  "));
        let names = names.filter(|line| !line.starts_with("   "));
        let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        let mut names: Vec<Vec<String>> =
            names.map(|name| command.iter().cloned().chain([name.to_owned()]).collect()).collect();
        names.reverse();
        waiting.extend(names);
        text.push_str(&ran.to_string());
        text.push('\n');
    }
    check("help", &text);
}

#[test]
fn without_a_command_the_help_is_a_message_and_a_mistake() {
    let ran = Device::bare().run(&[]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("Begin here:"));
}

#[test]
fn completions_are_made_for_every_shell() {
    let device = Device::bare();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(device.run(&["completions", shell]).ok().contains("salvage"), "{shell}");
    }
}

#[test]
fn a_closed_pipe_is_no_accident() {
    let device = Device::new();
    device.run(&["doc", "new", "audit", "Roof 7"]).ok();
    device.run(&["set", "Roof 7", "M0001..M5000", "status=ok", "comment=a text that makes the pipe overflow"]).ok();
    let mut child = device.command(&["show", "Roof 7"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn colours_are_for_terminals_and_never_with_no_color() {
    let device = Device::with_audit();
    let show: &[&str] = &["show", "Roof 7"];
    assert!(!device.run(show).ok().contains('\u{1b}'), "not into a pipe");
    let forced = device.run_with(show, &[("CLICOLOR_FORCE", "1")], b"").ok();
    assert!(forced.contains('\u{1b}'), "asked for");
    let never = device.run_with(show, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], b"");
    assert!(!never.out.contains('\u{1b}') && !never.err.contains('\u{1b}'), "NO_COLOR wins: {never}");
}
