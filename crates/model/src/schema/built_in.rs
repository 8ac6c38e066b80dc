//! The kinds that are there without anybody declaring them.

use super::{FieldSchema, FieldType, KindName, KindSchema};

impl KindSchema {
    /// Gives the built-in schemas: `audit`, `harvest`, `intervention`, `planning`, `preference`, `sale`.
    pub fn built_in() -> Vec<Self> {
        use FieldType::{Boolean, Integer, Number, Text, Time};
        let kind = |name: &str, fields: &[(&str, FieldType, &[&str])]| Self {
            name: KindName::new(name).expect("a constant that is a kind name"),
            version: 1,
            fields: fields
                .iter()
                .map(|(name, field_type, values)| FieldSchema {
                    name: (*name).to_owned(),
                    field_type: *field_type,
                    values: values.iter().map(|value| (*value).to_owned()).collect(),
                })
                .collect(),
            closed: false,
        };
        const STATUSES: &[&str] = &["ok", "inequality", "microcracks", "dead", "string_open", "not_connected"];
        vec![
            kind("audit", &[("status", Text, STATUSES), ("comment", Text, &[]), ("technician", Text, &[])]),
            kind("harvest", &[("plot", Text, &[]), ("crop", Text, &[]), ("kg", Number, &[]), ("at", Time, &[])]),
            kind(
                "intervention",
                &[("plot", Text, &[]), ("task", Text, &[]), ("worker", Text, &[]), ("done", Boolean, &[])],
            ),
            kind("planning", &[("task", Text, &[]), ("worker", Text, &[]), ("start", Time, &[]), ("end", Time, &[])]),
            kind("preference", &[]),
            kind(
                "sale",
                &[
                    ("region", Text, &[]),
                    ("product", Text, &[]),
                    ("quantity", Integer, &[]),
                    ("price", Number, &[]),
                    ("date", Text, &[]),
                ],
            ),
        ]
    }
}
