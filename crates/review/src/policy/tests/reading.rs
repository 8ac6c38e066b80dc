//! What is read, and what is said of what cannot be.

use comity_model::{FieldName, KindName, Value};

use crate::policy::{KindPolicy, Policy, Rule};

/// The example of the design, whole.
const WHOLE: &str = r#"
epoch = 3
[kind.audit]
default     = ["merge-fields"]
groups      = [["status", "comment"]]
natural-key = ["serial", "row"]
clock-uncertainty = "2min"
[kind.audit.field.status]
policy      = ["user-priority", "manual"]
order       = ["expert", "regular", "occasional"]
always-manual = ["dead", "string_open", 3, true]
second-reviewer = true
depends-on = ["comment"]
[kind.harvest]
default     = ["last-write-wins", "manual"]
[kind.preference]
default     = ["device-specific"]
[[kind.audit.invariant]]
name = "module-count"
expr = "count(entries) == about.modules"
"#;

fn name(text: &str) -> FieldName {
    FieldName::new(text).unwrap()
}

#[test]
fn a_policy_says_what_was_written() {
    let policy = Policy::parse(WHOLE).unwrap();
    assert_eq!(policy.epoch(), 3);
    let kinds: Vec<&str> = policy.kinds().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["audit", "harvest", "preference"]);
    let audit = policy.kind(&KindName::new("audit").unwrap()).unwrap();
    assert_eq!(audit.rules(&name("status")), [Rule::UserPriority, Rule::Manual]);
    assert_eq!(audit.rules(&name("comment")), [Rule::MergeFields]);
    assert_eq!(audit.order(&name("status")), ["expert", "regular", "occasional"]);
    assert_eq!(audit.groups, [[name("comment"), name("status")]]);
    assert_eq!(audit.natural_key, [name("row"), name("serial")]);
    assert_eq!(audit.clock_uncertainty_ms, 120_000);
    let status = audit.field(&name("status")).unwrap();
    assert!(status.second_reviewer);
    assert_eq!(status.depends_on, [name("comment")]);
    let manual = ["dead".into(), "string_open".into(), Value::Int(3), Value::Bool(true)];
    assert!(manual.iter().all(|value| status.always_manual.contains(value)) && status.always_manual.len() == 4);
    assert_eq!(audit.invariants[0].name, "module-count");
    let harvest = policy.kind(&KindName::new("harvest").unwrap()).unwrap();
    assert_eq!(harvest.clock_uncertainty_ms, KindPolicy::CLOCK_UNCERTAINTY_MS);
    assert!(policy.kind(&KindName::new("sale").unwrap()).is_none());
    assert_eq!(Policy::parse("").unwrap().epoch(), 1);
}

/// Checks all that is said about a text.
fn faults(text: &str, expected: &[&str]) {
    let error = Policy::parse(text).unwrap_err().to_string();
    assert_eq!(error.lines().collect::<Vec<_>>(), expected, "{text}");
}

#[test]
fn what_is_no_toml_is_shown_with_its_place() {
    faults(
        "[kind.audit]\ndefault = [\"manual\"\n",
        &["line 2, column 20: this is no TOML: unclosed array, expected `]`: correct it here, or just before"],
    );
    faults("epoch = 1\nepoch = 2\n", &["line 2, column 1: the same name stands twice: keep one of the two"]);
    faults("[kind.audit]\n[kind.audit]\n", &["line 2, column 7: the same name stands twice: keep one of the two"]);
}

#[test]
fn unknown_words_name_the_nearest_known_one() {
    faults(
        "epcoh = 2\n[kind.audit]\ndefualt = []\n[kind.audit.field.status]\nsecond-reviwer = true\ncolour = 1\n\
         [[kind.audit.invariant]]\nname = 'x'\nexpr = 'about.x'\nwhy = ''\n",
        &[
            "line 1, column 1: a policy has no member \"epcoh\": did you mean epoch?",
            "line 3, column 1: a kind has no member \"defualt\": did you mean default?",
            "line 5, column 1: a field has no member \"second-reviwer\": did you mean second-reviewer?",
            "line 6, column 1: a field has no member \"colour\": write one of policy, order, always-manual, \
             second-reviewer, depends-on",
            "line 10, column 1: an invariant has no member \"why\": write one of name, expr",
        ],
    );
    faults(
        "[kind.audit]\ndefault = ['merge-fields', 'last-write-win', 'ask', 'manual', 'suggested']",
        &[
            "line 2, column 28: there is no rule \"last-write-win\": did you mean last-write-wins?",
            "line 2, column 46: there is no rule \"ask\": write one of last-write-wins, merge-fields, user-priority, \
         device-specific, manual, suggested",
            "line 2, column 63: suggested stands after manual, which always decides: put manual last",
        ],
    );
}

#[test]
fn values_of_the_wrong_sort_say_what_belongs_there() {
    faults(
        "epoch = -1\nkind = 3\n",
        &[
            "line 1, column 9: epoch is the number -1: write a whole number from 0, greater than that of the policy before",
            "line 2, column 1: kind is the number 3: write a table, [kind.NAME]",
        ],
    );
    faults(
        "[kind.Audit]\n[kind.audit]\ndefault = 'manual'\ngroups = ['status']\nclock-uncertainty = 60\n\
         natural-key = [1]\n[kind.audit.field]\n'a/b' = {}\nstatus = 1\n[kind.audit.field.comment]\n\
         second-reviewer = 'yes'\nalways-manual = [0.5, 'x', 'x', '']\ndepends-on = ['comment']\n",
        &[
            "line 1, column 7: kind \"Audit\" must be 1 to 64 of a-z, 0-9, '-' or '_', beginning with a letter: use \
             the name of a kind, such as audit",
            "line 3, column 11: default is the text \"manual\": write a list of texts, as in default = [\"…\"]",
            "line 4, column 11: groups holds the text \"status\": write a list of lists of fields, as in groups = \
             [[\"status\", \"comment\"]]",
            "line 5, column 21: clock-uncertainty is the number 60: write how far a clock may be off, 0s to 24 h, as \
             in \"60s\"",
            "line 6, column 16: natural-key holds the number 1: write a text in quotes",
            "line 8, column 1: field name \"a/b\" must not hold '/' there: use the name of a field",
            "line 9, column 1: status is the number 1: write a table, [kind.NAME.field.FIELD]",
            "line 11, column 19: second-reviewer is the text \"yes\": write true or false",
            "line 12, column 18: always-manual holds a number with a fraction: write texts, whole numbers, true or false",
            "line 12, column 28: the text \"x\" stands twice in always-manual: name it once",
            "line 12, column 33: the value \"\" has 0 bytes: write 1 to 128 bytes without control characters",
            "line 13, column 14: a field depends on itself: leave it out",
        ],
    );
}

#[test]
fn an_order_and_user_priority_need_each_other() {
    let missing = "user-priority has no order of roles: add the roles, the first before the others: order = \
                   [\"expert\", \"regular\"]";
    let idle = "order is for user-priority, which is not among the rules here: add \"user-priority\" to the rules, or \
                remove the order";
    faults("[kind.a]\ndefault = ['user-priority']", &[&format!("line 2, column 1: {missing}")]);
    faults("[kind.a.field.x]\npolicy = ['user-priority']", &[&format!("line 2, column 1: {missing}")]);
    faults("[kind.a]\ndefault = ['manual']\norder = ['x']", &[&format!("line 3, column 1: {idle}")]);
    faults("[kind.a.field.x]\norder = ['x']", &[&format!("line 2, column 1: {idle}")]);
    for good in [
        "[kind.a]\ndefault = ['user-priority']\norder = ['x']\n[kind.a.field.b]\norder = ['y']",
        "[kind.a]\norder = ['x']\n[kind.a.field.b]\npolicy = ['user-priority']",
        "[kind.a]\ndefault = ['user-priority']\norder = ['x']\n[kind.a.field.b]\npolicy = ['manual']",
    ] {
        Policy::parse(good).unwrap();
    }
}

#[test]
fn groups_have_two_fields_and_stand_once() {
    faults(
        "[kind.a]\ngroups = [['x'], ['x', 'x'], ['a', 'b'], ['b', 'a'], [], ['life', 'a']]",
        &[
            "line 2, column 11: a group has 1 fields: name two or more that belong together",
            "line 2, column 24: \"x\" stands twice in a group: name it once",
            "line 2, column 42: the same group stands twice: keep one of the two",
            "line 2, column 54: a group has 0 fields: name two or more that belong together",
            "line 2, column 59: life says whether an entry is deleted, and is none of its fields: leave it out here; \
         [kind.NAME.field.life] may have rules",
        ],
    );
}

#[test]
fn a_fault_in_an_expression_is_found_in_the_line_where_it_stands() {
    faults(
        "[[kind.a.invariant]]\nname = 'x'\nexpr = \"\"\"\nevery(status != \\\"dead\\\" or\n  comment = null)\"\"\"\n\
         [[kind.a.invariant]]\nname = 'x'\nexpr = \"every(s == \\\"ü\\\" or ok = 1)\"\n\
         [[kind.a.invariant]]\nname = ''\n[[kind.a.invariant]]\nname = 1\nexpr = 'count(entries)'\n\
         [[kind.a.invariant]]\n",
        &[
            "line 5, column 11: '=' means nothing here: write == for \"is equal to\"",
            "line 7, column 8: two invariants are called \"x\": rename one",
            "line 8, column 32: '=' means nothing here: write == for \"is equal to\"",
            "line 9, column 1: an invariant has no expr: an invariant has a name and an expr, as in expr = \
             'count(entries) == about.modules'",
            "line 10, column 8: the name \"\" has 0 bytes: write 1 to 128 bytes without control characters",
            "line 12, column 8: name is the number 1: write a text in quotes",
            "line 13, column 9: this is a number, and must be true or false: compare it with something, as in \
             count(entries) == about.modules",
            "line 14, column 1: an invariant has no expr: an invariant has a name and an expr, as in expr = \
             'count(entries) == about.modules'",
            "line 14, column 1: an invariant has no name: an invariant has a name and an expr, as in expr = \
             'count(entries) == about.modules'",
        ],
    );
    faults(
        "[kind.a]\ninvariant = [1]",
        &["line 2, column 14: invariant holds the number 1: write [[kind.NAME.invariant]], with name and expr"],
    );
}
