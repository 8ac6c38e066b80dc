//! What an edit is made with.

use comity_crdt::Entry;
use comity_model::{ActKind, EntryId, FieldName, KindSchema, RegisterKey, Value, Write};

use crate::NodeError;

/// Collects the writes of one edit. All of them become one change, or none.
pub struct Editor<'a> {
    pub(crate) document: &'a comity_crdt::Document,
    pub(crate) schema: Option<&'a KindSchema>,
    pub(crate) writes: Vec<Write>,
    pub(crate) kind: ActKind,
}

impl Editor<'_> {
    /// Gives an entry as it stands before the edit.
    pub fn entry(&self, id: &EntryId) -> Option<Entry> {
        self.document.entry(id, None)
    }

    /// Gives the document as it stands before the edit.
    pub fn document(&self) -> &comity_crdt::Document {
        self.document
    }

    /// Gives the schema of the document's kind.
    pub fn schema(&self) -> Option<&KindSchema> {
        self.schema
    }

    /// Sets a field of an entry.
    ///
    /// # Errors
    /// When the entry or field cannot be named so, or the value does not fit the schema.
    pub fn set(&mut self, entry: &str, field: &str, value: impl Into<Value>) -> Result<(), NodeError> {
        self.set_register(RegisterKey::new(EntryId::new(entry)?, FieldName::new(field)?), value.into())
    }

    /// Sets a register.
    ///
    /// # Errors
    /// When the value does not fit the schema.
    pub fn set_register(&mut self, key: RegisterKey, value: Value) -> Result<(), NodeError> {
        if let Some(schema) = self.schema {
            schema.check_value(&key.field, &value)?;
        }
        self.writes.push(Write::Set { key, value });
        Ok(())
    }

    /// Marks an entry deleted. Its values stay, and it can be restored.
    ///
    /// # Errors
    /// When there is no such entry, so that a mistyped id is noticed.
    pub fn delete(&mut self, entry: &str) -> Result<(), NodeError> {
        let entry = self.existing(entry)?;
        self.writes.push(Write::Delete { entry });
        Ok(())
    }

    /// Marks a deleted entry live again.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn restore(&mut self, entry: &str) -> Result<(), NodeError> {
        let entry = self.existing(entry)?;
        self.writes.push(Write::Restore { entry });
        Ok(())
    }

    /// Appends a remark.
    pub fn remark(&mut self, text: impl Into<String>) -> Result<(), NodeError> {
        let id = crate::identity::random::<12>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        self.writes.push(Write::Remark { id, text: text.into() });
        Ok(())
    }

    /// Sets one of the registers about the document.
    pub fn about(&mut self, name: &str, value: impl Into<Value>) {
        self.writes.push(Write::About { name: name.to_owned(), value: value.into() });
    }

    /// Adds what a decision writes ([`Review::decide`](comity_review::Review::decide)): the edit is one then.
    pub fn decide(&mut self, writes: Vec<Write>) {
        self.kind = ActKind::Decision;
        self.writes.extend(writes);
    }

    /// Says what sort of act the edit is; a plain edit unless told.
    pub fn act(&mut self, kind: ActKind) {
        self.kind = kind;
    }

    fn existing(&self, entry: &str) -> Result<EntryId, NodeError> {
        let entry = EntryId::new(entry)?;
        match self.document.entry(&entry, None) {
            Some(_) => Ok(entry),
            None => Err(NodeError::NoSuchEntry { entry }),
        }
    }
}
