//! Every bound at n and at n + 1.

use crate::policy::{FieldPolicy, KindPolicy, Policy, PolicyError, Rule};

/// Checks that a text made for the bound is read, and that one more is refused with these words.
fn bound(max: usize, words: &str, text: impl Fn(usize) -> String) {
    if let Err(error) = Policy::parse(&text(max)) {
        panic!("{max}: {error}");
    }
    let error = Policy::parse(&text(max + 1)).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
}

fn names(n: usize) -> String {
    let names: Vec<String> = (0..n).map(|i| format!("'n{i}'")).collect();
    format!("[{}]", names.join(", "))
}

#[test]
fn a_policy_is_bounded_in_everything() {
    bound(Policy::BYTES_MAX, "has 262145 bytes, and may have 262144", |n| format!("#{}", "x".repeat(n - 1)));
    bound(Policy::KINDS_MAX, "there are 65 kinds, and there may be 64", |n| {
        (0..n).map(|i| format!("[kind.k{i}]\n")).collect()
    });
    bound(KindPolicy::FIELDS_MAX, "there are 257 fields, and there may be 256", |n| {
        (0..n).map(|i| format!("[kind.a.field.f{i}]\n")).collect()
    });
    bound(KindPolicy::GROUPS_MAX, "there are 65 groups, and there may be 64", |n| {
        let groups: Vec<String> = (0..n).map(|i| format!("['a{i}', 'b']")).collect();
        format!("[kind.a]\ngroups = [{}]", groups.join(", "))
    });
    let together = "there are 17 members in";
    bound(KindPolicy::FIELDS_TOGETHER_MAX, together, |n| format!("[kind.a]\ngroups = [{}]", names(n)));
    bound(KindPolicy::FIELDS_TOGETHER_MAX, together, |n| format!("[kind.a]\nnatural-key = {}", names(n)));
    bound(KindPolicy::FIELDS_TOGETHER_MAX, together, |n| format!("[kind.a.field.x]\ndepends-on = {}", names(n)));
    bound(KindPolicy::ROLES_MAX, "there are 33 members in order", |n| {
        format!("[kind.a]\ndefault = ['user-priority']\norder = {}", names(n))
    });
    bound(FieldPolicy::ALWAYS_MANUAL_MAX, "there are 65 values in always-manual, and there may be 64", |n| {
        format!("[kind.a.field.x]\nalways-manual = {}", names(n))
    });
    bound(KindPolicy::INVARIANTS_MAX, "there are 65 invariants, and there may be 64", |n| {
        (0..n).map(|i| format!("[[kind.a.invariant]]\nname = 'i{i}'\nexpr = 'about.x'\n")).collect()
    });
    for text in [
        |n: usize| format!("[[kind.a.invariant]]\nname = '{}'\nexpr = 'about.x'\n", "x".repeat(n)),
        |n: usize| format!("[kind.a.field.x]\nalways-manual = ['{}']", "x".repeat(n)),
        |n: usize| format!("[kind.a]\ndefault = ['user-priority']\norder = ['{}']", "x".repeat(n)),
    ] {
        bound(KindPolicy::WORD_BYTES_MAX, "has 129 bytes: write 1 to 128 bytes", text);
    }
    let day = usize::try_from(KindPolicy::CLOCK_UNCERTAINTY_MS_MAX).unwrap();
    bound(day, "0s to 24 h", |ms| format!("[kind.a]\nclock-uncertainty = '{ms}ms'"));
}

#[test]
fn a_line_has_so_many_dots() {
    bound(20, "line 2, column 22: a line has more than 20 dots", |n| format!("# x.\n#{}\n# y.", ".".repeat(n)));
}

#[test]
fn no_list_has_more_rules_than_there_are() {
    let all: Vec<String> = Rule::ALL.iter().filter(|rule| **rule != Rule::Manual).map(ToString::to_string).collect();
    let text = |more: &[&str]| {
        let more = more.iter().map(|rule| (*rule).to_owned());
        let rules: Vec<String> = all.iter().cloned().chain(more).collect();
        format!("[kind.a]\norder = ['x']\ndefault = {rules:?}")
    };
    Policy::parse(&text(&["manual"])).unwrap();
    let seven = Policy::parse(&text(&["manual", "suggested"])).unwrap_err().to_string();
    assert!(seven.contains("there are 7 members in default, and there may be 6"), "{seven}");
    let twice = Policy::parse(&text(&["suggested"])).unwrap_err().to_string();
    assert!(twice.contains("\"suggested\" stands twice in default"), "{twice}");
}

#[test]
fn so_many_faults_are_told_and_the_rest_counted() {
    let text = |n: usize| (0..n).map(|i| format!("wrong{i} = 1\n")).collect::<String>();
    let exact = Policy::parse(&text(PolicyError::FAULTS_MAX)).unwrap_err();
    assert_eq!((exact.faults().len(), exact.more()), (20, 0));
    let over = Policy::parse(&text(PolicyError::FAULTS_MAX + 3)).unwrap_err();
    assert_eq!((over.faults().len(), over.more()), (20, 3));
    assert!(over.to_string().ends_with("\nand 3 more"));
}

#[test]
fn hostile_texts_are_refused_without_harm() {
    // Within the bound of the text, as deep as TOML can be made; on a thread with half the usual stack.
    let long = vec!["a"; 79].join(".");
    let too_long = format!("{}1{}", format!("{long} = {{ ").repeat(78), " }".repeat(78));
    let key = vec!["a"; 21].join(".");
    let nested = format!("{}1{}", format!("{key} = {{\n").repeat(78), " }".repeat(78));
    let texts = [
        format!("x = {}", "[".repeat(100_000)),
        too_long,
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("[{}]", vec!["kind"; 100_000].join(".")),
        format!("[{key}]\n{nested}"),
        "[[kind.a.invariant]]\n".repeat(12_000),
        "[kind.a]\n".repeat(29_000),
        (0..20_000).map(|i| format!("x{i} = 1\n")).collect(),
        format!("[kind.a.field]\n{}", (0..15_000).map(|i| format!("'x/{i}' = 1\n")).collect::<String>()),
        format!("x = '{}'", "\u{1f600}".repeat(60_000)),
        "\u{0}\u{7f}\u{feff}\r".repeat(1_000),
    ];
    let run = move || {
        for text in texts {
            let error = Policy::parse(&text).unwrap_err();
            assert!(error.to_string().len() < 20_000, "a message stays readable");
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}
