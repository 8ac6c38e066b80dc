//! The long run of `cargo xtask soak relay`, for half a minute.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use comity_tests::comity;
use tokio::process::Command;

/// The run itself takes 30 s; the rest is for its comparison, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// Twenty clients come and go and write, online and offline, while the relay is killed and stopped and comes back:
/// what any of them was told is kept is there after each end, and all hold the same in the end.
#[tokio::test]
async fn nothing_is_lost_in_half_a_minute_of_restarts() {
    let load = Path::new(env!("CARGO_BIN_EXE_load"));
    // The load program runs what lies beside it.
    assert_eq!(comity::binary().parent(), load.parent());
    let mut command = Command::new(load);
    command.args(["soak", "--minutes", "0.5", "--clients", "20", "--edits-per-second", "20", "--seed", "1"]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("the run ends").unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    assert!(said.contains("SIGKILL") && said.contains("SIGTERM"), "both ways to end must occur: {said}");
}
