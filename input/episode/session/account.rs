//! What a frame was made from.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// What a frame was made from, if that was said: JSON, as the text that was written. Hours of play hold some hundred
/// thousand; values in memory would be ten times as large.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Account(Option<Box<RawValue>>);

impl Account {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// What was said, as a `T`.
    ///
    /// # Errors
    /// It is something else.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<Option<T>> {
        self.0.as_deref().map(|text| serde_json::from_str(text.get())).transpose()
    }
}

impl From<&Value> for Account {
    fn from(value: &Value) -> Self {
        let said = !value.is_null();
        Self(said.then(|| to_raw_value(value).expect("any value can be written")))
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        let text = |of: &Self| of.0.as_deref().map(|text| text.get().to_owned());
        text(self) == text(other)
    }
}
