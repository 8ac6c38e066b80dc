//! Raw deflate under a budget.

use flate2::{Decompress, FlushDecompress, Status};

use super::budget::Budget;
use super::reader::Reader;
use super::refusal::Refusal;

/// Inflated bytes that are kept at the first attempt. What inflates to more is counted through a small buffer
/// first, so that a bomb costs time but no memory.
const KEPT_BYTES: usize = 4 << 20;
const BUFFER_BYTES: usize = 64 << 10;

/// Inflates all of the reader, within what the budget has left.
pub(super) fn inflate(deflated: Reader<'_>, what: &'static str, budget: &mut Budget<'_>) -> Result<Vec<u8>, Refusal> {
    let mut kept = Vec::new();
    let mut length = 0;
    let mut overflowed = false;
    run(deflated, what, |piece| {
        length += piece.len();
        budget.has_room(length, deflated.place())?;
        if length <= KEPT_BYTES {
            kept.extend_from_slice(piece);
        } else if !overflowed {
            overflowed = true;
            kept = Vec::new();
        }
        Ok(())
    })?;
    if overflowed {
        kept.reserve_exact(length);
        run(deflated, what, |piece| {
            kept.extend_from_slice(piece);
            Ok(())
        })?;
    }
    budget.take_inflated(length, deflated.place())?;
    Ok(kept)
}

fn run(
    deflated: Reader<'_>,
    what: &'static str,
    mut each: impl FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let broken = || Refusal::Deflate { what, place: deflated.place() };
    let bytes = deflated.bytes();
    let mut inflater = Decompress::new(false);
    let mut buffer = vec![0; BUFFER_BYTES.min(bytes.len().saturating_mul(8).max(512))];
    let mut read = 0;
    loop {
        let (in_before, out_before) = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(&bytes[read..], &mut buffer, FlushDecompress::None).map_err(|_| broken())?;
        let taken = usize::try_from(inflater.total_in() - in_before).map_err(|_| broken())?;
        let given = usize::try_from(inflater.total_out() - out_before).map_err(|_| broken())?;
        read += taken;
        each(buffer.get(..given).ok_or_else(broken)?)?;
        match status {
            Status::StreamEnd if read == bytes.len() => return Ok(()),
            // Bytes behind the end would be kept and sent on by Automerge, unseen.
            Status::StreamEnd => return Err(broken()),
            _ if taken == 0 && given == 0 => return Err(broken()),
            _ => {}
        }
    }
}
