//! S1.6: policies for audits, harvests, interventions, plannings, preferences and sales.

use comity_model::{FieldName, KindSchema, LIFE};

use crate::policy::{Explanation, KindPolicy, Policy, Tally, Verdict};

fn fields(kind: &KindPolicy) -> Vec<&FieldName> {
    let special = kind.fields.iter().flat_map(|(field, special)| special.depends_on.iter().chain([field]));
    kind.groups.iter().flatten().chain(&kind.natural_key).chain(special).collect()
}

#[test]
fn each_example_fits_the_built_in_schema_of_its_kind() {
    let schemas = KindSchema::built_in();
    assert_eq!(Policy::examples().len(), schemas.len());
    for ((name, text), schema) in Policy::examples().iter().zip(&schemas) {
        let policy = Policy::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let kinds: Vec<_> = policy.kinds().collect();
        let [(kind, rules)] = kinds.as_slice() else { panic!("{name} has {} kinds", kinds.len()) };
        assert_eq!(**kind, schema.name);
        assert_eq!(*name, format!("{kind}s"));
        let known = |field: &FieldName| schema.fields.iter().any(|known| known.name == field.as_str());
        let read: Vec<FieldName> = rules.invariants.iter().flat_map(|invariant| invariant.fields_read()).collect();
        for field in fields(rules).into_iter().chain(&read) {
            assert!(known(field) || field.as_str() == LIFE, "{name} names {field}");
        }
        for (field, special) in &rules.fields {
            for value in special.always_manual.iter() {
                schema.check_value(field, value).unwrap();
            }
        }
    }
}

#[test]
fn examples_put_together_are_one_policy_whose_invariants_hold_of_an_empty_document() {
    let text: String = Policy::examples().iter().map(|(_, text)| *text).collect();
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.kinds().count(), 6);
    for (kind, rules) in policy.kinds() {
        for (name, verdict) in Tally::new(&rules.invariants).verdicts() {
            assert_eq!(verdict, Verdict::Holds, "{kind}: {name}");
        }
    }
}

#[test]
fn a_policy_is_explained_in_plain_words() {
    let (_, text) = Policy::examples()[0];
    let explained: Vec<String> = Policy::parse(text).unwrap().explain().iter().map(Explanation::to_string).collect();
    assert_eq!(
        explained.join("\n"),
        r#"audit
  A conflict: writes to different fields stand side by side; else a person decides, with a suggestion.
  Belong together, and are looked at when two devices write to them: comment and status.
  Must be true (dead-has-comment): every(status != "dead" or comment != null)
  Must be true (module-count): about.modules == null or count(entries) == about.modules
  Decisions that differ, duplicates, broken invariants and stale values are always for a person.
audit, comment
  A conflict: as for the kind: writes to different fields stand side by side; else a person decides, with a suggestion.
  It is looked at again when somebody else changes status at the same time.
audit, life
  A deletion against an update: a person decides.
audit, status
  A conflict: the higher verified role is shown (expert before regular before occasional); else a person decides, with a suggestion.
  When a side says "dead" or "string_open", a person decides, whatever the rules say.
  A decision counts when a second reviewer has agreed."#
    );
}
