//! Who acts, what they may do, and what they may see.
//!
//! An [`Actor`] is made once per request from its token; a [`Scope`] is made from the actor and
//! goes into every store function, so that a query without one cannot be written. Every check of
//! a right is in the domain: no transport goes round it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Code, Error, Result};
use crate::vocabulary::terms::Term;
use crate::vocabulary::terms::terms;
use crate::vocabulary::time::Timestamp;

/// The reserved company of what all companies read and only a platform admin writes. It is null in
/// the API; it is a row here because NULLs in a unique key are all different.
pub const GLOBAL: Uuid = Uuid::nil();

terms! {
    /// What a membership lets its user do.
    Role {
        Viewer = "VIEWER", Analyst = "ANALYST", Author = "AUTHOR", Approver = "APPROVER",
        Admin = "ADMIN", Auditor = "AUDITOR", PlatformAdmin = "PLATFORM_ADMIN",
    }

    /// A right that a mutation or a query asks for.
    Permission {
        Read = "READ", Import = "IMPORT", EditFindings = "EDIT_FINDINGS", EditInventory = "EDIT_INVENTORY",
        EditViews = "EDIT_VIEWS", WriteRules = "WRITE_RULES", Approve = "APPROVE", Export = "EXPORT",
        ManageMembers = "MANAGE_MEMBERS", ManageSettings = "MANAGE_SETTINGS", ReadAudit = "READ_AUDIT",
        ManagePlatform = "MANAGE_PLATFORM",
    }
}

impl Role {
    /// The rights of a role: the whole table.
    pub fn permissions(self) -> &'static [Permission] {
        use Permission::*;
        match self {
            Self::Viewer => &[Read, EditViews, Export],
            Self::Analyst => &[Read, Import, EditFindings, EditInventory, EditViews, Export],
            Self::Author => &[Read, Import, EditFindings, EditInventory, EditViews, Export, WriteRules],
            Self::Approver => &[Read, EditFindings, EditViews, Export, Approve],
            Self::Admin => &[
                Read,
                Import,
                EditFindings,
                EditInventory,
                EditViews,
                Export,
                WriteRules,
                Approve,
                ManageMembers,
                ManageSettings,
                ReadAudit,
            ],
            Self::Auditor => &[Read, Export, ReadAudit],
            Self::PlatformAdmin => Permission::ALL,
        }
    }
}

impl Permission {
    /// Writing policy and settings concerns everybody: a narrow portfolio does not reach it.
    fn needs_whole_company(self) -> bool {
        use Permission::*;
        matches!(self, WriteRules | Approve | ManageMembers | ManageSettings | ReadAudit | ManagePlatform)
    }
}

/// What a membership covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Portfolio {
    Whole,
    /// The findings of these projects, and the assets of these owner teams with their findings.
    Only {
        projects: BTreeSet<Uuid>,
        teams: BTreeSet<Uuid>,
    },
}

/// What a query may reach. Made from an [`Actor`], or by the server itself for its own work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reads its own company's and the global records inside the portfolio; writes its own.
    Company(Uuid, Portfolio),
    /// The platform admin's: the global company.
    Global,
    /// Crosses companies: token look-up, job claims, dispatch, the clock.
    System,
}

impl Scope {
    /// The company that this scope writes for.
    pub fn company(&self) -> Result<Uuid> {
        match self {
            Self::Company(company, _) => Ok(*company),
            Self::Global => Ok(GLOBAL),
            Self::System => Err(Error::internal("the system scope writes for no company")),
        }
    }

    /// This scope, where it is of a company that has people and an inventory of its own: the global
    /// one holds what all companies read, and nothing else.
    pub fn of_tenant(self) -> Result<Self> {
        match self {
            Self::Global => Err(Error::new(
                Code::IllegalState,
                "The global company has no such records: act for one of the companies.",
            )),
            scope => Ok(scope),
        }
    }
}

impl Scope {
    /// The same company without the bounds of a portfolio: for what a visible record refers to.
    pub(crate) fn whole(&self) -> Self {
        match self {
            Self::Company(company, _) => Self::Company(*company, Portfolio::Whole),
            scope => scope.clone(),
        }
    }
}

/// The kind of the one who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    User,
    ServiceAccount,
    /// The server itself: the clock, recovery.
    System,
}

/// Who acts, for which company, with what rights.
#[derive(Clone, Debug)]
pub struct Actor {
    pub kind: ActorKind,
    /// The user's or service account's id; nil for the system.
    pub id: Uuid,
    /// The person behind it, whichever token, session or service account is used: the user, or who
    /// issued the service account's token; nil for the system.
    pub person: Uuid,
    pub name: String,
    pub company: Uuid,
    pub role: Role,
    pub portfolio: Portfolio,
    /// What the token leaves of the role's rights; `None` leaves all.
    pub token_scopes: Option<Vec<Permission>>,
    pub token: Option<Uuid>,
    /// The session whose access token was sent.
    pub session: Option<Uuid>,
    /// When the token ends; sockets end with it.
    pub expires_at: Option<Timestamp>,
    /// The remote address, for the audit.
    pub address: Option<String>,
    pub trace: Option<String>,
    /// The caller's key for this one mutation, if it gave one.
    pub idempotency: Option<Idempotency>,
}

/// All that decides what an actor may do and see, without who it is. Two actors of equal rights are
/// answered alike, wherever an answer does not depend on the person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rights {
    kind: ActorKind,
    company: Uuid,
    role: Role,
    portfolio: Portfolio,
    token_scopes: Option<Vec<Permission>>,
}

/// A key that makes a mutation happen once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of the mutation's name and arguments: the key stands for these alone.
    pub request: [u8; 32],
}

impl Actor {
    /// The server itself acting for `company`.
    pub fn system(company: Uuid, name: &str) -> Self {
        Self {
            kind: ActorKind::System,
            id: Uuid::nil(),
            person: Uuid::nil(),
            name: name.to_owned(),
            company,
            role: Role::Admin,
            portfolio: Portfolio::Whole,
            token_scopes: None,
            token: None,
            session: None,
            expires_at: None,
            address: None,
            trace: None,
            idempotency: None,
        }
    }

    /// What it may do and see.
    pub fn rights(&self) -> Rights {
        Rights {
            kind: self.kind,
            company: self.company,
            role: self.role,
            portfolio: self.portfolio.clone(),
            token_scopes: self.token_scopes.clone(),
        }
    }

    /// The rights that the role, the portfolio and the token leave.
    pub fn permissions(&self) -> impl Iterator<Item = Permission> + '_ {
        self.role.permissions().iter().copied().filter(|p| self.can(*p))
    }

    pub fn can(&self, permission: Permission) -> bool {
        self.role.permissions().contains(&permission)
            && self.token_scopes.as_ref().is_none_or(|scopes| scopes.contains(&permission))
            && (self.portfolio == Portfolio::Whole || !permission.needs_whole_company())
    }

    /// The scope of this actor, if it has `permission`.
    pub fn allow(&self, permission: Permission) -> Result<Scope> {
        if self.can(permission) {
            return Ok(self.scope());
        }
        let what = permission.word().to_ascii_lowercase().replace('_', " ");
        Err(Error::new(Code::Forbidden, format!("Your role or token does not include the right to {what}."))
            .with("permission", permission.word()))
    }

    fn scope(&self) -> Scope {
        if self.company == GLOBAL {
            Scope::Global
        } else {
            Scope::Company(self.company, self.portfolio.clone())
        }
    }
}
