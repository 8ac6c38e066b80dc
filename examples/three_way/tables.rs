//! What was found, and what rules and people make of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use comity_review::three_way::{Fate, LeafOutcome, Moments, Relation, Rule, Who, relation};

use super::records::Replay;

/// Counts leaves by what became of them.
pub fn count(replays: &[Replay], wanted: impl Fn(Fate) -> bool) -> usize {
    replays.iter().flat_map(|replay| &replay.leaves).filter(|leaf| wanted(leaf.fate)).count()
}

/// What Comity found.
pub fn found(ways: &[(&str, &Vec<Replay>)]) -> String {
    let mut out = "## Found\n\n| |".to_owned();
    for (name, _) in ways {
        let _ = write!(out, " {name} |");
    }
    out += "\n|---|";
    out += &"---:|".repeat(ways.len());
    out.push('\n');
    let mut row = |name: &str, of: &dyn Fn(&[Replay]) -> usize| {
        let cells: Vec<String> = ways.iter().map(|(_, replays)| of(replays).to_string()).collect();
        let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
    };
    row("merge commits", &|all| all.iter().map(|one| &one.merge).collect::<BTreeSet<_>>().len());
    row("records", &<[Replay]>::len);
    row("leaves", &|all| count(all, |_| true));
    row("untouched", &|all| count(all, |fate| fate == Fate::Unchanged));
    row("changed by ours alone", &|all| count(all, |fate| fate == Fate::OneSided(Who::Ours)));
    row("changed by theirs alone", &|all| count(all, |fate| fate == Fate::OneSided(Who::Theirs)));
    row("agreements: both changed to the same", &|all| count(all, |fate| fate == Fate::Agreement));
    row("conflicts: both changed differently, listed", &|all| count(all, |fate| fate == Fate::Conflict));
    row("records with a conflict", &|all| {
        all.iter().filter(|one| one.leaves.iter().any(|leaf| leaf.fate == Fate::Conflict)).count()
    });
    row("values where others have an object", &|all| all.iter().map(|one| one.merged.clashes().len()).sum());
    row("**silent losses**", &|all| count(all, |fate| matches!(fate, Fate::Lost(_))));
    out
}

/// What people made of it.
pub fn people(replays: &[Replay]) -> String {
    let mut out = "## What people did (lists whole)\n\n| leaves | people took | |\n|---|---|---:|\n".to_owned();
    let sorts: [(&str, Fate); 4] = [
        ("in conflict", Fate::Conflict),
        ("in agreement", Fate::Agreement),
        ("changed by ours alone", Fate::OneSided(Who::Ours)),
        ("changed by theirs alone", Fate::OneSided(Who::Theirs)),
    ];
    for (name, fate) in sorts {
        for wanted in Relation::ALL {
            let number = related(replays, fate).filter(|relation| *relation == wanted).count();
            if number > 0 {
                let _ = writeln!(out, "| {name} | {} | {number} |", taken(fate, wanted));
            }
        }
    }
    out += "\nThe conflicts, the oldest first:\n\n";
    for (replay, leaf) in conflicts(replays) {
        let taken = relation(leaf, replay.people.get(&leaf.register)).as_str();
        let commit: String = replay.merge.chars().take(8).collect();
        let _ = writeln!(out, "- {commit} `{}`: {taken}", leaf.register);
    }
    out
}

/// Names what people took. Where one side changed nothing, what it left is what stood there before.
fn taken(fate: Fate, relation: Relation) -> &'static str {
    match (fate, relation) {
        (Fate::OneSided(Who::Ours), Relation::Ours) | (Fate::OneSided(Who::Theirs), Relation::Theirs) => "the change",
        (Fate::OneSided(_), Relation::Ours | Relation::Theirs) => Relation::Base.as_str(),
        _ => relation.as_str(),
    }
}

fn related(replays: &[Replay], fate: Fate) -> impl Iterator<Item = Relation> {
    replays.iter().flat_map(move |replay| {
        let wanted = replay.leaves.iter().filter(move |leaf| leaf.fate == fate);
        wanted.map(|leaf| relation(leaf, replay.people.get(&leaf.register)))
    })
}

/// What each rule would have given.
pub fn rules(ways: &[(&str, &Vec<Replay>)]) -> String {
    let mut out = "## What each rule would have given\n\n\
        | rule | lists | conflicts decided | as people | otherwise | left to people | whole records as people made them |\n\
        |---|---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for rule in Rule::ALL {
        for (name, replays) in ways {
            let (mut same, mut other, mut left) = (0, 0, 0);
            for (replay, leaf) in conflicts(replays) {
                match rule.settle(leaf, &Moments::default()) {
                    None => left += 1,
                    Some(value) if value.as_ref() == replay.people.get(&leaf.register) => same += 1,
                    Some(_) => other += 1,
                }
            }
            let whole = replays.iter().filter(|one| one.merged.under(rule).as_ref() == Some(&one.people)).count();
            let (rule, decided, all) = (rule.as_str(), same + other, replays.len());
            let _ = writeln!(out, "| {rule} | {name} | {decided} | {same} | {other} | {left} | {whole} of {all} |");
        }
    }
    out += "\nLast-write-wins abstains everywhere: the data has no times. What only one side changed stands under every rule.\n";
    out
}

/// Lists the leaves in conflict with their records.
pub fn conflicts(replays: &[Replay]) -> impl Iterator<Item = (&Replay, &LeafOutcome)> {
    let of = move |replay| move |leaf| leaf_in_conflict(leaf).then_some((replay, leaf));
    replays.iter().flat_map(move |replay| replay.leaves.iter().filter_map(of(replay)))
}

fn leaf_in_conflict(leaf: &LeafOutcome) -> bool {
    leaf.fate == Fate::Conflict
}
