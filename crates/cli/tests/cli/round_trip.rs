use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

use crate::support::Device;

/// Cells that files really hold, and those that are easily misread.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z ,;\"'\n\r\t]{1,12}",
        "'{0,3}(true|false|007|12|-3|1\\.50|1e5|18446744073709551615|9e999|null)",
        "\\PC{1,8}",
        any::<f64>().prop_map(|number| number.to_string()),
    ]
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(Config {
        cases: 16,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/cli/regressions.txt"))),
        ..Config::default()
    })]

    #[test]
    fn what_is_exported_imports_to_the_same_bytes(
        rows in prop::collection::vec(prop::collection::vec(cell(), 4), 1..12)
    ) {
        let device = Device::new();
        let mut table = "entry,comment,technician,note,grade,site\n".to_owned();
        for (i, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
            table.push_str(&format!("M{i:03},{},here\n", cells.join(",")));
        }
        device.write("first.csv", table);
        device.run(&["import", "first.csv", "--new", "First", "--kind", "audit"]).ok();
        device.run(&["export", "First", "-o", "second.csv"]).ok();
        device.run(&["import", "second.csv", "--new", "Second", "--kind", "audit"]).ok();
        device.run(&["export", "Second", "-o", "third.csv"]).ok();
        let read = |name: &str| std::fs::read_to_string(device.path(name)).unwrap();
        prop_assert_eq!(read("second.csv"), read("third.csv"));
    }
}
