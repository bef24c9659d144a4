//! The closed word lists of the domain as enums of the schema. Each is checked against its list
//! when it is compiled: a word without a description here does not build.

use async_graphql::Enum;
use record::record;

/// What a membership lets its user do.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::access::Role")]
pub enum Role {
    /// Reads, exports and keeps views.
    Viewer,
    /// Also imports, and edits findings and the inventory.
    Analyst,
    /// Also writes rules.
    Author,
    /// Reads, edits findings, and approves what others wrote.
    Approver,
    /// Does all of these, and manages members and settings.
    Admin,
    /// Reads everything, the audit included, and writes nothing.
    Auditor,
    /// Manages the server and what is for all companies. It is a mark of the user, not of a
    /// membership.
    PlatformAdmin,
}

/// A right that a query or mutation asks for. Tokens are limited to some of them.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::access::Permission")]
pub enum Permission {
    /// To see what the portfolio covers.
    Read,
    /// To upload reports.
    Import,
    /// To change findings.
    EditFindings,
    /// To change assets and projects.
    EditInventory,
    /// To keep views.
    EditViews,
    /// To write rules. It takes the whole company.
    WriteRules,
    /// To approve what others wrote. It takes the whole company.
    Approve,
    /// To take findings out as files.
    Export,
    /// To manage people, teams, service accounts and their tokens. It takes the whole company.
    ManageMembers,
    /// To change the company and its code lists. It takes the whole company.
    ManageSettings,
    /// To read the audit. It takes the whole company.
    ReadAudit,
    /// To make companies and what is for all of them.
    ManagePlatform,
}

/// How much an asset matters.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::terms::Criticality")]
pub enum Criticality {
    /// Hardly anybody would notice.
    Low,
    /// Some work would be delayed.
    Medium,
    /// Important work would stop.
    High,
    /// The company would stop.
    Critical,
}

/// What an asset is used for.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::terms::Environment")]
pub enum Environment {
    /// It serves customers or the business.
    Production,
    /// It is the last stop before production.
    Staging,
    /// It is tested on.
    Test,
    /// It is developed on.
    Development,
}

/// Whether the caller can do something now: no button is a guess.
#[record]
#[derive(async_graphql::SimpleObject)]
pub struct Allowed {
    /// It would not be refused for want of a right or for the record's state.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl From<domain::error::Result<()>> for Allowed {
    fn from(may: domain::error::Result<()>) -> Self {
        match may {
            Ok(()) => Self { allowed: true, reason: None },
            Err(error) => Self { allowed: false, reason: Some(error.message) },
        }
    }
}
