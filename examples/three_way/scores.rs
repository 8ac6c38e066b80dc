//! Whether suggestions would have been any good.

use std::fmt::Write as _;

use comity_model::{RegisterKey, Value};
use comity_review::SuggestionShown;
use comity_review::suggest::{Candidate, Case, Decided, Evaluation, Kept, Model, ablate};
use comity_review::three_way::{Fate, LeafOutcome, is_gone};

use super::records::Replay;

/// All that one merge commit decided: one judgement, however many leaves.
type Acts = Vec<(Vec<Decided>, SuggestionShown)>;

/// The question that suggestions are for: which side of a conflict did people take?
pub fn on_conflicts(replays: &[Replay]) -> String {
    let acts = acts(replays, |leaf| (leaf.fate == Fate::Conflict).then(|| case(leaf, &[&leaf.ours, &leaf.theirs])));
    let model = taught(&acts);
    let mut out = "## Suggestions: which side of a conflict do people take?\n\n\
        Ours is held to be what is shown. The data names no authors, roles, remarks or times, so only values, changes of \
        values and their length are there to learn from.\n\n"
        .to_owned();
    out += &score(&model.evaluation());
    match acts.iter().flat_map(|(act, _)| act).next().map(|decided| model.suggest(&decided.case)) {
        Some(Err(abstention)) => {
            let _ = writeln!(out, "\n**No suggestion is made:** {abstention}.");
        }
        Some(Ok(suggestion)) => {
            let _ = writeln!(out, "\nA suggestion is made, with confidence {:.2}.", suggestion.confidence);
        }
        None => out += "\nThere is no conflict to suggest about.\n",
    }
    out
}

/// A wider question with enough cases to measure: is what only one side changed kept in the merge? It is no conflict, and
/// nothing in Comity asks it; it shows what the model does on real decisions.
pub fn on_single_changes(replays: &[Replay]) -> String {
    let acts = acts(replays, |leaf| match leaf.fate {
        Fate::OneSided(_) => Some(case(leaf, &[&leaf.shown, &leaf.base])),
        _ => None,
    });
    let model = taught(&acts);
    let evaluation = model.evaluation();
    let mut out = "## The same model on a wider question: is what only one side changed kept?\n\n\
        Not a conflict, and not asked in Comity: measured because there are enough cases. A merge commit is one trial. One \
        thing was changed after this table was first seen: the regression begins at the base rate instead of at even odds, \
        which it had to learn its way up from (0.0299 then). Nothing else was tuned on this data.\n\n"
        .to_owned();
    out += &score(&evaluation);
    out += "\n| without | Brier score | worse by |\n|---|---:|---:|\n";
    for ablation in ablate(&acts) {
        let worse = ablation.brier - evaluation.brier;
        if worse.abs() > 0.000_05 {
            let _ = writeln!(out, "| {} | {:.4} | {worse:+.4} |", ablation.feature.as_str(), ablation.brier);
        }
    }
    out
}

/// Makes cases of leaves, one act for each merge commit, in the order of the data.
pub fn acts(replays: &[Replay], case: impl Fn(&LeafOutcome) -> Option<Case>) -> Acts {
    let mut acts: Vec<(&str, Vec<Decided>)> = Vec::new();
    for replay in replays {
        let cases = replay.leaves.iter().filter_map(|leaf| Some((leaf, case(leaf)?)));
        let decided = cases.map(|(leaf, case)| {
            let people = replay.people.get(&leaf.register);
            let kept = case.candidates.iter().position(|one| one.value.as_ref() == people);
            Decided { case, kept: kept.map_or(Kept::Neither, Kept::Candidate) }
        });
        let decided: Vec<Decided> = decided.collect();
        match acts.last_mut() {
            Some((merge, act)) if *merge == replay.merge => act.extend(decided),
            _ => acts.push((&replay.merge, decided)),
        }
    }
    acts.retain(|(_, act)| !act.is_empty());
    acts.into_iter().map(|(_, act)| (act, SuggestionShown::Never)).collect()
}

/// The field is the part of the record: `stats`, `links`, `title`. Below it every browser and version has its own name.
fn case(leaf: &LeafOutcome, values: &[&Option<Value>]) -> Case {
    let there = |value: &Option<Value>| value.clone().filter(|value| !is_gone(value));
    Case {
        kind: "feature".to_owned(),
        field: part(&leaf.register).to_owned(),
        base: there(&leaf.base),
        candidates: values.iter().map(|value| Candidate::of(there(value))).collect(),
        shown: 0,
        ranks: 0,
        uncertainty_ms: 0,
    }
}

fn part(register: &RegisterKey) -> &str {
    register.entry.as_str().split('.').nth(1).unwrap_or_else(|| register.field.as_str())
}

/// Lets a model learn all acts.
pub fn taught(acts: &Acts) -> Model {
    let mut model = Model::new();
    for (act, shown) in acts {
        model.learn(act, *shown);
    }
    model
}

fn score(evaluation: &Evaluation) -> String {
    let Evaluation { acts, cases, neither, brier, base_brier, difference, has_skill, .. } = evaluation;
    let mut out = "| | |\n|---|---:|\n".to_owned();
    let _ = writeln!(out, "| trials (merge commits) | {acts} |");
    let _ = writeln!(out, "| cases in them | {cases} |");
    let _ = writeln!(out, "| cases in which people took neither value | {neither} |");
    let _ = writeln!(out, "| Brier score of the model | {brier:.4} |");
    let _ = writeln!(out, "| Brier score of the base rate | {base_brier:.4} |");
    let (mean, low, high) = (difference.mean, difference.low, difference.high);
    let _ = writeln!(
        out,
        "| better than the base rate by (95 %, at every moment) | {mean:+.4} ({low:+.4} to {high:+.4}) |"
    );
    let _ = writeln!(out, "| skill | {} |", if *has_skill { "yes" } else { "**none shown**" });
    let (suggested, right) = (evaluation.suggested, evaluation.suggested_right);
    let _ =
        writeln!(out, "| coverage: cases in which it would have suggested | {suggested} of {cases} ({right} right) |");
    out += "\n| confidence | cases | mean confidence | right |\n|---|---:|---:|---:|\n";
    for bin in evaluation.calibration.iter().filter(|bin| bin.cases > 0) {
        let (from, to, confidence, right) = (bin.from, bin.to, bin.confidence, bin.right);
        let _ = writeln!(out, "| {from:.1} to {to:.1} | {} | {confidence:.2} | {right:.2} |", bin.cases);
    }
    out
}
