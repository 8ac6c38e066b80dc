//! Policies to begin with.

use super::Policy;

impl Policy {
    /// Gives the name and the text of a policy for each built-in kind. Put one behind the other they are one policy, so
    /// a space takes those that it needs.
    pub const fn examples() -> &'static [(&'static str, &'static str)] {
        &[
            ("audits", include_str!("../../policies/audits.toml")),
            ("harvests", include_str!("../../policies/harvests.toml")),
            ("interventions", include_str!("../../policies/interventions.toml")),
            ("plannings", include_str!("../../policies/plannings.toml")),
            ("preferences", include_str!("../../policies/preferences.toml")),
            ("sales", include_str!("../../policies/sales.toml")),
        ]
    }
}
