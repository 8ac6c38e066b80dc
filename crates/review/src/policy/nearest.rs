//! The known word that a mistyped one was probably meant to be.

/// Says what to write instead of an unknown word.
pub(super) fn advice(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("write one of {}", known.join(", ")),
    }
}

/// Finds the known word with the fewest letters to add, remove, replace or swap, if that is at most a third of them.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // Nothing known is as long as this, and the cost is the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    let distances = known.iter().map(|known| (distance(word, known), *known));
    let (distance, meant) = distances.min()?;
    (distance <= (meant.len().max(word.len()) / 3).max(1)).then_some(meant)
}

/// Counts the letters to add, remove, replace or swap with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut cost = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *b && right[j - 1] == *a {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_word_and_nonsense_the_list() {
        let known = ["last-write-wins", "manual", "order"];
        for (typed, meant) in [("lastwritewins", "last-write-wins"), ("maunal", "manual"), ("oder", "order")] {
            assert_eq!(advice(typed, &known), format!("did you mean {meant}?"));
        }
        assert_eq!(advice("colour", &known), "write one of last-write-wins, manual, order");
        assert_eq!(advice(&"x".repeat(1_000_000), &known), "write one of last-write-wins, manual, order");
        assert_eq!(advice("", &["and"]), "write one of and");
    }
}
