//! From conflicts and decisions in real documents to a suggestion.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use comity_crdt::Document;
use comity_model::{Act, ActKind, ActorId, DeviceTag, Heads, HybridTime, Limits, Value, Write};
use comity_review::suggest::{Abstention, Author, Case, Feature, Kept, Model, PastAct, Role, Setting, case, past_acts};
use comity_review::{Answer, Conflict, DecisionId, Declarations, Note, Review, State, SuggestionShown};

/// One document in which several devices write: at older heads where they had not heard of each other.
struct Story {
    document: Document,
    clock_ms: i64,
    decisions: u32,
}

impl Story {
    fn new() -> Self {
        Self { document: Document::new(), clock_ms: 1_000_000, decisions: 0 }
    }

    fn write(&mut self, device: u8, base: Option<&Heads>, kind: ActKind, writes: &[Write]) {
        self.clock_ms += 10_000;
        let actor = ActorId::for_session(DeviceTag([device; 16]), [0; 8]);
        let act = Act { time: HybridTime { wall_ms: self.clock_ms, counter: 0 }, policy: [0; 8], kind };
        self.document.edit(&actor, act, base, writes, &Limits::default()).unwrap();
    }

    /// Ana (device 1) and Ben (device 2) find different things in a module.
    fn disagree(&mut self, module: u32, ana: &str, ben: &str) {
        self.disagree_in(module, ana, ben, false);
    }

    /// Automerge shows what was written last here. Ana gives her reasons when she is the first.
    fn disagree_in(&mut self, module: u32, ana: &str, ben: &str, ana_is_last: bool) {
        let set = |value: &str| Write::Set {
            key: format!("M{module:03}/status").parse().unwrap(),
            value: Value::from(value),
        };
        self.write(3, None, ActKind::Edit, &[set("ok")]);
        let seen = self.document.heads().clone();
        let remark = Write::Remark { id: format!("r{module}"), text: "seen in daylight".to_owned() };
        if ana_is_last {
            self.write(2, Some(&seen), ActKind::Edit, &[set(ben)]);
            self.write(1, Some(&seen), ActKind::Edit, &[set(ana)]);
        } else {
            self.write(1, Some(&seen), ActKind::Edit, &[set(ana), remark]);
            self.write(2, Some(&seen), ActKind::Edit, &[set(ben)]);
        }
    }

    fn review(&self) -> Review {
        Review::of(&self.document, Declarations::default())
    }

    fn open(&self) -> Vec<Conflict> {
        let review = self.review();
        review.conflicts(|state| state == State::Open)
    }

    /// Decides several conflicts in one change.
    fn decide(&mut self, answers: &[(Conflict, Answer)], suggestion: Option<SuggestionShown>) -> Vec<DecisionId> {
        let review = self.review();
        let (mut writes, mut ids) = (Vec::new(), Vec::new());
        for (conflict, answer) in answers {
            self.decisions += 1;
            let id = DecisionId::new(&format!("d{}", self.decisions)).unwrap();
            let note = Note { suggestion, ..Note::default() };
            writes.extend(review.decide(conflict, answer, &note, &id).unwrap());
            ids.push(id);
        }
        self.write(4, None, ActKind::Decision, &writes);
        ids
    }
}

fn who(device: &DeviceTag) -> Author {
    let label = ["", "Ana", "Ben", "Cleo", "Dora"][usize::from(device.0[0])];
    let role = (label == "Ana").then(|| Role { name: "expert".to_owned(), rank: 2 });
    Author { id: device.to_string(), label: label.to_owned(), role }
}

fn setting() -> Setting<'static> {
    Setting { kind: "audit", shown: &|_| None, who: &who, ranks: 2, stale_ms: &|_| Some(60_000), uncertainty_ms: 2_000 }
}

fn side_of(conflict: &Conflict, value: &str) -> usize {
    conflict.sides.iter().position(|side| side.value() == Some(&value.into())).unwrap()
}

fn names(case: &Case) -> Vec<(String, String)> {
    let of = |one: &comity_review::suggest::Candidate| {
        (one.authors[0].label.clone(), one.value.as_ref().map(ToString::to_string).unwrap_or_default())
    };
    let mut names: Vec<_> = case.candidates.iter().map(of).collect();
    names.sort();
    names
}

#[test]
fn a_conflict_becomes_a_case_with_all_that_is_known_of_its_sides() {
    let mut story = Story::new();
    story.disagree(50, "dead", "dirty");
    let conflict = story.open().remove(0);
    let case = case(&conflict, &setting()).unwrap();
    assert_eq!((case.kind.as_str(), case.field.as_str(), &case.base), ("audit", "status", &Some("ok".into())));
    assert_eq!(names(&case), [("Ana".into(), "dead".into()), ("Ben".into(), "dirty".into())]);
    let ana = &case.candidates[side_of(&conflict, "dead")];
    let ben = &case.candidates[side_of(&conflict, "dirty")];
    assert!(ana.has_remark && !ben.has_remark);
    assert!(!ana.has_seen_other && !ben.has_seen_other);
    assert_eq!(ben.written_ms.unwrap() - ana.written_ms.unwrap(), 10_000);
    assert_eq!(ana.stale_ms, Some(60_000));
    let shown = story.document.register(&"M050/status".parse().unwrap(), None).unwrap().winner().unwrap().value.clone();
    assert_eq!(case.candidates[case.shown].value, Some(shown));
}

#[test]
fn a_space_that_keeps_anas_values_is_told_so() {
    // S3.5, end to end: 40 decisions, then a suggestion with its reasons.
    let mut story = Story::new();
    for module in 0..40 {
        let (ana, ben) = if module % 2 == 0 { ("dead", "dirty") } else { ("dirty", "dead") };
        story.disagree_in(module, ana, ben, module % 4 < 2);
        let conflict = story.open().remove(0);
        let side = side_of(&conflict, if module % 10 == 9 { ben } else { ana });
        story.decide(&[(conflict, Answer::Accept(side))], None);
    }
    story.disagree(50, "dead", "dirty");
    let acts = past_acts(&story.review(), &setting());
    assert_eq!(acts.len(), 40);
    let mut backwards = acts.clone();
    backwards.reverse();
    let case = case(&story.open()[0], &setting()).unwrap();
    let suggestion = Model::of(acts).suggest(&case).unwrap();
    assert_eq!(suggestion.value, Some("dead".into()));
    let author = suggestion.terms.iter().find(|term| term.feature == Feature::Author).unwrap();
    assert!(author.words.starts_with("Ana's values were kept in 36 of 40 past decisions"), "{}", author.words);
    assert!(suggestion.flips.iter().any(|flip| flip.becomes != Some(suggestion.candidate)));
    assert_eq!(Model::of(backwards).suggest(&case), Ok(suggestion), "in whatever order the documents were read");
}

#[test]
fn one_change_that_decides_much_is_one_act_and_a_suggestion_seen_marks_all_of_it() {
    let mut story = Story::new();
    (0..5).for_each(|module| story.disagree(module, "dead", "dirty"));
    let answers = |story: &Story| -> Vec<_> {
        story
            .open()
            .into_iter()
            .map(|one| {
                let side = side_of(&one, "dead");
                (one, Answer::Accept(side))
            })
            .collect()
    };
    let all = answers(&story);
    story.decide(&all, None);
    story.disagree(7, "dead", "dirty");
    let last = answers(&story);
    story.decide(&last, Some(SuggestionShown::Before));
    let acts = past_acts(&story.review(), &setting());
    let summary: Vec<_> = acts.iter().map(|act| (act.decided.len(), act.shown)).collect();
    assert_eq!(summary, [(5, SuggestionShown::Never), (1, SuggestionShown::Before)]);
    let evaluation = Model::of(acts).evaluation();
    assert_eq!((evaluation.acts, evaluation.cases, evaluation.passed_over), (1, 5, 1));
}

#[test]
fn only_the_last_word_counts_and_only_answers_that_choose() {
    let mut story = Story::new();
    let decided = |story: &Story| -> Vec<Kept> {
        let acts: Vec<PastAct> = past_acts(&story.review(), &setting());
        acts.into_iter().flat_map(|act| act.decided).map(|decided| decided.kept).collect()
    };
    story.disagree(1, "dead", "dirty");
    let conflict = story.open().remove(0);
    let id = story.decide(&[(conflict, Answer::Value("shaded".into()))], None).remove(0);
    assert_eq!(decided(&story), [Kept::Neither]);
    let undo = story.review().undo(&id, &Note::default(), &DecisionId::new("undo").unwrap()).unwrap();
    story.write(4, None, ActKind::Decision, &undo);
    assert_eq!(decided(&story), [], "undone");
    story.disagree(2, "dead", "dirty");
    let conflict = story.open().into_iter().find(|one| one.subject.to_string() == "M002/status").unwrap();
    story.decide(&[(conflict, Answer::Dismiss)], None);
    assert_eq!(decided(&story), [], "to dismiss is not to choose");
    let case = case(&story.review().conflicts(|state| state == State::Dismissed)[0], &setting()).unwrap();
    assert_eq!(Model::of(Vec::new()).suggest(&case), Err(Abstention::TooFew { have: 0 }));
}
