//! Suggestions over whole histories: that chance is hardly ever taken for skill, and that skill is found soon.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use comity_review::SuggestionShown;
use comity_review::suggest::{Author, Candidate, Case, Decided, Kept, Model};

/// A generator that is the same everywhere (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % bound as u64).unwrap()
    }

    fn candidate(&mut self, author: usize) -> Candidate {
        let name = format!("person {author:02}");
        Candidate {
            authors: vec![Author { id: name.clone(), label: name, role: None }],
            has_remark: self.below(3) == 0,
            has_seen_other: self.below(5) == 0,
            written_ms: Some(self.below(100_000) as i64),
            stale_ms: Some(self.below(200_000_000) as i64),
            ..Candidate::of(Some(["dead", "dirty", "cracked", "ok", "shaded"][self.below(5)].into()))
        }
    }

    fn case(&mut self) -> Case {
        let (one, other) = (self.below(6), 6 + self.below(6));
        let mut candidates = vec![self.candidate(one), self.candidate(other)];
        candidates.rotate_left(self.below(2));
        Case {
            kind: "audit".to_owned(),
            field: ["status", "comment"][self.below(2)].to_owned(),
            base: Some(["ok", "unknown"][self.below(2)].into()),
            candidates,
            shown: self.below(2),
            ranks: 0,
            uncertainty_ms: 2_000,
        }
    }
}

/// Decides by `keep`, learns, and tells after how many decisions skill was first seen, looking after each.
fn skill_seen_after(seed: u64, decisions: usize, keep: impl Fn(&mut Dice, &Case) -> usize) -> Option<usize> {
    let mut dice = Dice(seed);
    let mut model = Model::new();
    (1..=decisions).find(|_| {
        let case = dice.case();
        let kept = Kept::Candidate(keep(&mut dice, &case));
        model.learn(&[Decided { case, kept }], SuggestionShown::Never);
        model.evaluation().has_skill
    })
}

#[test]
fn where_decisions_are_drawn_by_lot_skill_is_seen_in_one_space_of_twenty_at_most() {
    let worlds = 100;
    for chance_in_ten in [5, 7, 9] {
        // The base rate knows how often the shown value is kept; nothing else is to be known.
        let by_lot = move |dice: &mut Dice, case: &Case| {
            if dice.below(10) < chance_in_ten { case.shown } else { 1 - case.shown }
        };
        let fooled = (0..worlds).filter(|seed| skill_seen_after(*seed, 300, by_lot).is_some()).count();
        println!("shown kept in {chance_in_ten} of ten: skill seen in {fooled} of {worlds} spaces without any");
        assert!(fooled <= 5, "{chance_in_ten} in ten: skill was seen in {fooled} of {worlds} spaces without any");
    }
}

#[test]
fn where_some_people_are_right_skill_is_seen_within_two_hundred_decisions() {
    // Persons 0 to 5 are right in nine of ten, against persons 6 to 11; each case has one of each.
    let by_person = |dice: &mut Dice, case: &Case| {
        let expert = case.candidates.iter().position(|one| one.authors[0].id.as_str() < "person 06").unwrap();
        if dice.below(10) < 9 { expert } else { 1 - expert }
    };
    let found: Vec<_> = (0..20).map(|seed| skill_seen_after(seed, 200, by_person)).collect();
    println!("skill seen after {found:?} decisions");
    assert!(found.iter().all(Option::is_some), "{found:?}");
}

#[test]
fn where_skill_is_seen_the_confidence_is_about_true() {
    let mut dice = Dice(7);
    let mut model = Model::new();
    for _ in 0..1_000 {
        let case = dice.case();
        // Of two values of which just one has a remark, it is kept in four of five; else a coin decides.
        let kept = match [case.candidates[0].has_remark, case.candidates[1].has_remark] {
            [one, other] if one != other => usize::from(other == (dice.below(5) != 0)),
            _ => dice.below(2),
        };
        model.learn(&[Decided { case, kept: Kept::Candidate(kept) }], SuggestionShown::Never);
    }
    let evaluation = model.evaluation();
    assert!(evaluation.has_skill && evaluation.suggested > 300, "{evaluation:?}");
    for bin in evaluation.calibration.iter().filter(|bin| bin.cases >= 50) {
        assert!((bin.confidence - bin.right).abs() < 0.12, "{bin:?}");
    }
}
