use super::super::case::{Author, Candidate};
use super::*;

fn author(name: &str) -> Author {
    Author { id: name.to_lowercase(), label: name.to_owned(), role: None }
}

fn by(name: &str, value: &str) -> Candidate {
    Candidate { authors: vec![author(name)], ..Candidate::of(Some(value.into())) }
}

fn between(left: Candidate, right: Candidate) -> Case {
    Case {
        kind: "audit".to_owned(),
        field: "status".to_owned(),
        base: Some("ok".into()),
        candidates: vec![left, right],
        shown: 0,
        ranks: 0,
        uncertainty_ms: 2_000,
    }
}

fn decided(case: Case, kept: usize) -> Vec<Decided> {
    vec![Decided { case, kept: Kept::Candidate(kept) }]
}

/// Ana is right in seven of eight, whichever side is hers and whatever the values are.
fn ana_is_right(cases: usize) -> Vec<Vec<Decided>> {
    let act = |i: usize| {
        let values = ["dead", "cracked", "dirty", "shaded"];
        let (hers, his) = (by("Ana", values[i % 4]), by("Ben", values[(i + 1 + i / 4 % 3) % 4]));
        let is_right = i % 8 != 7;
        // So that the shown value is kept in half of all.
        let hers_is_shown = (i + i / 8).is_multiple_of(2);
        let sides = if hers_is_shown { between(hers, his) } else { between(his, hers) };
        decided(sides, usize::from(is_right != hers_is_shown))
    };
    (0..cases).map(act).collect()
}

fn taught(acts: &[Vec<Decided>]) -> Model {
    let mut model = Model::new();
    for act in acts {
        assert_eq!(model.learn(act, SuggestionShown::Never), Learned::Counted);
    }
    model
}

#[test]
fn whose_values_were_kept_is_suggested_and_the_reason_is_said() {
    // S3.5: a suggestion carries a confidence and an explanation a person can read.
    let model = taught(&ana_is_right(80));
    let case = between(by("Ben", "dead"), by("Ana", "dirty"));
    let suggestion = model.suggest(&case).unwrap();
    assert_eq!((suggestion.candidate, suggestion.value), (1, Some("dirty".into())));
    assert!((0.7..0.95).contains(&suggestion.confidence), "{}", suggestion.confidence);
    let term = &suggestion.terms[0];
    assert_eq!(term.feature, Feature::Author);
    assert_eq!(
        term.words,
        "Ana's values were kept in 70 of 80 past decisions; Ben's values were kept in 10 of 80 past decisions"
    );
    assert_eq!(term.cases, 160);
    assert!(term.log_odds > 1.0);
    let flip = suggestion.flips.last().unwrap();
    assert_eq!((flip.words.as_str(), flip.becomes), ("Without this it would turn round: author", Some(0)));
}

#[test]
fn nothing_is_suggested_before_thirty_decisions() {
    let acts = ana_is_right(40);
    let case = between(by("Ben", "dead"), by("Ana", "dirty"));
    let model = taught(&acts[..29]);
    assert_eq!(model.suggest(&case), Err(Abstention::TooFew { have: 29 }));
    assert!(!matches!(taught(&acts[..30]).suggest(&case), Err(Abstention::TooFew { .. })));
}

#[test]
fn nothing_is_suggested_where_decisions_follow_nothing() {
    // A coin, by a generator that is the same everywhere.
    let mut state = 1_u64;
    let act = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let kept = usize::from(state >> 63 == 1);
        decided(between(by("Ana", "dead"), by("Ben", "dirty")), kept)
    };
    let model = taught(&(0..200).map(act).collect::<Vec<_>>());
    let case = between(by("Ben", "dead"), by("Ana", "dirty"));
    let Err(Abstention::NoSkill(evaluation)) = model.suggest(&case) else { panic!("{:?}", model.suggest(&case)) };
    assert_eq!((evaluation.acts, evaluation.suggested), (200, 0));
    assert!(evaluation.difference.low < 0.0);
}

#[test]
fn nothing_is_suggested_between_people_who_are_right_equally_often() {
    let model = taught(&ana_is_right(80));
    let strangers = between(by("Cleo", "x"), by("Dan", "y"));
    assert!(matches!(model.suggest(&strangers), Err(Abstention::Unsure { .. })), "{:?}", model.suggest(&strangers));
}

#[test]
fn decisions_made_with_the_suggestion_in_sight_are_not_learned_from() {
    let acts = ana_is_right(40);
    let mut model = taught(&acts);
    let before = model.clone();
    let mut seen = acts[0].clone();
    seen[0].kept = Kept::Candidate(1 - usize::from(seen[0].kept == Kept::Candidate(1)));
    assert_eq!(model.learn(&seen, SuggestionShown::Before), Learned::NotBlind);
    assert_eq!(model.weights(), before.weights());
    assert_eq!(model.evaluation().acts, before.evaluation().acts);
    assert_eq!(model.evaluation().passed_over, 1);
    assert_eq!(model.learn(&seen, SuggestionShown::After), Learned::Counted);
    assert_ne!(model.weights(), before.weights());
}

#[test]
fn a_plan_that_settles_a_hundred_at_once_is_one_decision() {
    let plan: Vec<Decided> = ana_is_right(100).concat();
    let model = taught(&[plan]);
    assert_eq!((model.evaluation().acts, model.evaluation().cases), (1, 100));
    let one = taught(&ana_is_right(1));
    let [of_plan, of_one] = [&model, &one].map(|model| model.weights().iter().map(|(_, w)| w.abs()).sum::<f64>());
    assert!(of_plan <= of_one * 1.5, "{of_plan} {of_one}");
}

#[test]
fn a_value_of_ones_own_is_learned_from_and_not_scored() {
    let mut model = Model::new();
    let case = between(by("Ana", "dead"), by("Ben", "dirty"));
    let act = [Decided { case, kept: Kept::Neither }];
    assert_eq!(model.learn(&act, SuggestionShown::Never), Learned::Counted);
    let evaluation = model.evaluation();
    assert_eq!((evaluation.acts, evaluation.neither), (0, 1));
    assert!(model.row_count() > 0);
}

#[test]
fn of_three_values_one_is_suggested_and_the_decision_is_one_trial() {
    let act = |i: usize| {
        let mut sides = vec![by("Ben", "dead"), by("Cleo", "dirty"), by("Ana", "shaded")];
        sides.rotate_left(i % 3);
        let ana = sides.iter().position(|side| side.authors[0].label == "Ana").unwrap();
        let case = Case { candidates: sides, ..between(by("", ""), by("", "")) };
        decided(case, ana)
    };
    let acts: Vec<_> = (0..60).map(act).collect();
    let model = taught(&acts);
    assert_eq!(model.evaluation().acts, 60);
    let case = &acts[1][0].case;
    let chances = model.chances(case);
    assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(model.suggest(case).unwrap().value, Some("shaded".into()));
}

#[test]
fn what_cannot_be_chosen_from_is_refused_and_passed_over() {
    let mut model = taught(&ana_is_right(60));
    let alone = Case { candidates: vec![by("Ana", "x")], ..between(by("", ""), by("", "")) };
    assert_eq!(model.suggest(&alone), Err(Abstention::NoChoice { candidates: 1 }));
    let crowd = Case { candidates: vec![by("Ana", "x"); Case::CANDIDATES_MAX], ..alone.clone() };
    assert!(!matches!(model.suggest(&crowd), Err(Abstention::NoChoice { .. })));
    let too_many = Case { candidates: vec![by("Ana", "x"); Case::CANDIDATES_MAX + 1], ..alone.clone() };
    assert!(matches!(model.suggest(&too_many), Err(Abstention::NoChoice { .. })));
    assert_eq!(model.learn(&decided(alone, 0), SuggestionShown::Never), Learned::Nothing);
    let beyond = decided(between(by("Ana", "x"), by("Ben", "y")), 2);
    assert_eq!(model.learn(&beyond, SuggestionShown::Never), Learned::Nothing);
    assert_eq!(model.evaluation().passed_over, 2);
}

#[test]
fn memory_is_bounded_whatever_people_write() {
    let mut model = Model::new();
    for i in 0..6_000_u32 {
        let sides = between(by(&format!("a{i}"), &format!("x{i}")), by(&format!("b{i}"), &"y".repeat(10_000)));
        let case = Case { field: format!("f{i}"), kind: format!("k{i}"), ..sides };
        model.learn(&decided(case, 0), SuggestionShown::Never);
    }
    assert!(model.row_count() <= Model::ROWS_MAX, "{}", model.row_count());
    assert!(model.row_count() > 8_000, "{}", model.row_count());
}

#[test]
fn equal_histories_make_equal_models_to_the_last_bit() {
    let acts = ana_is_right(80);
    let (one, other) = (taught(&acts), taught(&acts));
    let bits = |model: &Model| model.weights().iter().map(|(_, weight)| weight.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&one), bits(&other));
    let case = between(by("Ben", "dead"), by("Ana", "dirty"));
    assert_eq!(one.suggest(&case), other.suggest(&case));
    // Written down once: a device that gives another number is one on which suggestions would differ.
    assert_eq!(one.chances(&case)[1].to_bits(), 4_605_743_451_390_646_980);
}

#[test]
fn the_base_rate_stands_last_among_the_features() {
    assert_eq!(Feature::ALL[SHOWN], Feature::Shown);
}

#[test]
fn what_a_feature_is_worth_shows_when_it_is_left_out() {
    let acts: Vec<_> = ana_is_right(80).into_iter().map(|act| (act, SuggestionShown::Never)).collect();
    let whole = taught(&acts.iter().map(|(act, _)| act.clone()).collect::<Vec<_>>()).evaluation().brier;
    let ablations = ablate(&acts);
    let of = |feature| ablations.iter().find(|one| one.feature == feature).unwrap().brier;
    assert!(of(Feature::Author) > whole + 0.05, "{} {whole}", of(Feature::Author));
    assert_eq!(of(Feature::Remark).to_bits(), whole.to_bits(), "nobody ever gave a remark");
}
