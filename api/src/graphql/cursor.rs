//! Where a subscription stands: opaque cursors over the numbers of the ledger and of a job's steps.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::error::{Code, Error, Result};
use uuid::Uuid;

/// A stream whose items are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The events of the company.
    Events,
    /// The steps of one job.
    Steps(Uuid),
}

impl Stream {
    fn name(self) -> String {
        match self {
            Self::Events => "events".to_owned(),
            Self::Steps(job) => format!("steps {job}"),
        }
    }

    /// The cursor behind the item of this number.
    pub fn cursor(self, number: i64) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{number}", self.name()))
    }

    /// The number in a cursor of this very stream.
    ///
    /// # Errors
    ///
    /// `CURSOR_INVALID`.
    pub fn read(self, cursor: &str) -> Result<i64> {
        let number = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
            let (name, number) = text.split_once(':')?;
            number.parse().ok().filter(|number| name == self.name() && *number >= 0)
        };
        number()
            .ok_or_else(|| Error::new(Code::CursorInvalid, "This cursor is not of this stream.").at("after"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_stream_alone() {
        let (one, other) = (Stream::Steps(Uuid::from_u128(1)), Stream::Steps(Uuid::from_u128(2)));
        assert_eq!(one.read(&one.cursor(7)).unwrap(), 7);
        assert_eq!(Stream::Events.read(&Stream::Events.cursor(0)).unwrap(), 0);
        for cursor in [other.cursor(7), Stream::Events.cursor(7), one.cursor(-1), "7".into(), String::new()] {
            assert_eq!(one.read(&cursor).unwrap_err().code, Code::CursorInvalid, "{cursor}");
        }
    }
}
