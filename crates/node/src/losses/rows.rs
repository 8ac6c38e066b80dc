//! Losses as rows of the store.

use std::collections::BTreeMap;

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Heads, Timestamp};
use comity_store::{Op, Store, StoreError};

use super::Loss;

/// Begins the rows that name documents that lost something.
const LOSS_ROWS: &str = "lost/";

/// Gives what makes the row of a document as it should be.
pub(super) fn op(document: &DocumentId, loss: Option<&Loss>) -> Op {
    let key = format!("{LOSS_ROWS}{document}");
    let Some(loss) = loss else { return Op::RemoveMeta { key } };
    let heads = loss.heads.iter().flat_map(|heads| heads.as_slice()).map(ToString::to_string);
    let value = format!("1 {} [{}] {}", loss.since.unix_ms, heads.collect::<Vec<_>>().join(","), loss.what);
    Op::PutMeta { key, value: Bytes::from(value) }
}

/// Reads the rows.
pub(super) fn recall(store: &dyn Store) -> Result<BTreeMap<DocumentId, Loss>, StoreError> {
    let mut losses = BTreeMap::new();
    for key in store.meta_keys()? {
        let Some(document) = key.strip_prefix(LOSS_ROWS).and_then(|id| id.parse::<DocumentId>().ok()) else { continue };
        // A row that was damaged itself was reported as lost.
        let Ok(Some(value)) = store.meta(&key) else { continue };
        let text = String::from_utf8_lossy(&value).into_owned();
        let mut words = text.splitn(4, ' ').skip(1);
        let since = words.next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
        let heads = words.next().and_then(|list| list.strip_prefix('[')?.strip_suffix(']'));
        let heads: Option<Vec<ChangeHash>> =
            heads.and_then(|list| list.split(',').map(|hash| hash.parse().ok()).collect());
        let what = words.next().unwrap_or_default().to_owned();
        let since = Timestamp::from_unix_ms(since);
        losses.insert(document, Loss { document, heads: heads.map(Heads::new), what, since, needs_restart: false });
    }
    Ok(losses)
}
