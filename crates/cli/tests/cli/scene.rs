//! Two devices, a relay, and what they do not agree about.

use serde_json::Value as Json;

use crate::support::{Device, Running};

/// Two devices in step, with two conflicts in one audit.
pub struct Scene {
    pub tablet: Device,
    pub desktop: Device,
    relay: Running,
    pub url: String,
    /// The relay's folder.
    _home: Device,
}

impl Scene {
    /// The tablet's writes come first in every order, and the desktop's is the one that is shown.
    pub fn new() -> Self {
        let home = Device::bare();
        let (relay, url) = Running::relay(&home);
        let (tablet, desktop) = (Device::new(), Device::bare());
        let space = tablet.run(&["space", "create", "West"]).ok();
        tablet.run(&["doc", "new", "audit", "Roof 7", "--space", "West"]).ok();
        tablet.run(&["set", "Roof 7", "M001..M004", "status=ok"]).ok();
        tablet.run(&["sync", &url, "--once"]).ok();
        desktop.run(&["init", "--name", "desktop"]).ok();
        desktop.run(&["space", "join", space.trim()]).ok();
        desktop.run(&["sync", &url, "--once"]).ok();
        desktop.run(&["set", "Roof 7", "M001", "comment=clean"]).ok();
        tablet.run(&["set", "Roof 7", "M002", "status=microcracks"]).ok();
        desktop.run(&["set", "Roof 7", "M002", "status=inequality"]).ok();
        tablet.run(&["delete", "Roof 7", "M003"]).ok();
        desktop.run(&["set", "Roof 7", "M003", "status=string_open"]).ok();
        let scene = Self { tablet, desktop, relay, url, _home: home };
        scene.sync();
        scene
    }

    /// Brings both in step.
    pub fn sync(&self) {
        for device in [&self.tablet, &self.desktop, &self.tablet] {
            device.run(&["sync", &self.url, "--once"]).ok();
        }
    }

    /// Runs commands on the tablet, with what differs from run to run replaced.
    pub fn session(&self, lines: &[&[&str]]) -> String {
        let text = self.tablet.session(lines);
        self.normal(&text)
    }

    /// Replaces what differs from run to run.
    pub fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (conflict, word) in [("M002/status", "1d1d"), ("M003", "2d2d")] {
            let conflict = self.about(conflict);
            text = text.replace(id(&conflict), &word.repeat(8));
            text = text.replace(&format!("{} ", short(&conflict)), &format!("{word} "));
            text = text.replace(&format!("{}\n", short(&conflict)), &format!("{word}\n"));
            text = text.replace(&format!("\"{}\"", short(&conflict)), &format!("\"{word}\""));
        }
        text
    }

    /// The conflict about something, in any state.
    pub fn about(&self, subject: &str) -> Json {
        let all = self.tablet.run(&["conflicts", "list", "--state", "all", "--json"]).json();
        let found = all["conflicts"].as_array().unwrap().iter().find(|one| one["subject"] == subject);
        found.unwrap_or_else(|| panic!("nothing about {subject}: {all}")).clone()
    }

    /// Ends the relay.
    pub fn end(self) {
        assert_eq!(self.relay.interrupt().1, 0);
    }
}

/// Gives the id of a conflict.
pub fn id(conflict: &Json) -> &str {
    conflict["id"].as_str().unwrap()
}

/// Gives the shortest beginning of its id.
pub fn short(conflict: &Json) -> &str {
    conflict["short"].as_str().unwrap()
}

/// Gives the status that a device shows.
pub fn shown(device: &Device, entry: &str) -> String {
    device.run(&["show", "Roof 7", entry, "status"]).ok().trim().to_owned()
}

/// Replaces what differs from run to run: ages, and the beginnings of the ids of decisions and documents.
pub fn blurred(text: &str) -> String {
    let blur = |line: &str| {
        let line = line.replace(" 1 min", " now");
        if let [title, _, number] = line.split(" · ").collect::<Vec<_>>()[..] {
            return format!("{title} · [document] · {number}");
        }
        let (before, after) = match (line.split_once("undo "), line.starts_with("  decision ")) {
            (Some((before, after)), _) => {
                (format!("{before}undo "), after.split_once('`').map_or("", |(_, after)| after))
            }
            (None, true) => (line.rsplit_once(' ').map_or(String::new(), |(before, _)| format!("{before} ")), ""),
            _ => return line,
        };
        format!("{before}[decision]{after}")
    };
    text.lines().map(|line| blur(line) + "\n").collect()
}
