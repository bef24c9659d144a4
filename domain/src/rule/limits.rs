//! How large the parts of a rule may be.

/// Bytes of a rule's name.
pub const NAME_BYTES: usize = 200;
/// Bytes of a rule's description.
pub const DESCRIPTION_BYTES: usize = 8 * 1_024;
