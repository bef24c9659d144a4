//! Coming in with a password.
//!
//! An address that is not known, one without a password, a disabled account and a wrong password are
//! answered the same after the same work.

use serde_json::json;
use uuid::Uuid;

use super::Visitor;
use super::secret::{self, Secret, digest};
use super::session::{self, Granted, scope_of};
use super::throttle::{Counted, counted};
use crate::Domain;
use crate::access::{Actor, ActorKind, GLOBAL, Permission, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::user::{self, User};
use crate::ledger::AuditEntry;
use crate::store::Tx;
use crate::vocabulary::time::Span;

pub(crate) mod hash;
pub(crate) mod store;

pub use hash::{LONGEST, Password, SHORTEST};

/// How long a device is known that the owner does not come in from, and how many are known.
const DEVICE_KNOWN: Span = Span(90 * Span::DAY.0);
const DEVICES: i64 = 20;

/// Somebody at the door.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub email: String,
    pub password: Password,
    /// For which company; the first by name if not said.
    pub company: Option<Uuid>,
    /// What an earlier sign-in gave this device.
    pub device: Option<String>,
}

/// Why somebody did not come in, as the audit tells it.
#[derive(Clone, Copy)]
enum Reason {
    WrongPassword,
    NoPassword,
    Disabled,
    UnknownAddress,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong password",
            Self::NoPassword => "no password",
            Self::Disabled => "disabled",
            Self::UnknownAddress => "unknown address",
        }
    }
}

impl Domain {
    /// Begins a session for an address and its password.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` whatever is wrong with the two; `TOO_MANY_ATTEMPTS`; `FORBIDDEN` for an account
    /// without a company; `NOT_FOUND` for a company that it is no member of.
    pub async fn sign_in(&self, sign_in: SignIn, visitor: &Visitor) -> Result<Granted> {
        let SignIn { email, password, company, device } = sign_in;
        let user = self.prove(&email, password, device.as_deref(), visitor).await?;
        let mut granted = self.session_begin(user, "password", session::LIFE, company, visitor).await?;
        let fresh = match device {
            Some(device) if self.knows(user, &device).await? => Secret::of(device),
            _ => Secret::new(secret::DEVICE)?,
        };
        let now = self.clock().now();
        let since = now.minus(DEVICE_KNOWN);
        self.db().device_used(&Scope::System, user, fresh.digest(), now, since, DEVICES).await?;
        granted.device = Some(fresh);
        Ok(granted)
    }

    /// The user of an address, if this is the password.
    pub(super) async fn prove(
        &self,
        email: &str,
        password: Password,
        device: Option<&str>,
        visitor: &Visitor,
    ) -> Result<Uuid> {
        let email = email.trim().to_ascii_lowercase();
        let found = self.db().credential(&Scope::System, &email).await?;
        let user = found.as_ref().map(|found| found.user);
        let known = match (user, device) {
            (Some(user), Some(device)) if self.knows(user, device).await? => Some(device),
            _ => None,
        };
        let counted: Vec<Counted> = counted(&email, visitor, known);
        self.attempt(&counted).await?;
        let hash = found.as_ref().and_then(|found| found.hash.clone());
        let is_disabled = found.as_ref().is_some_and(|found| found.disabled);
        let has_password = hash.is_some();
        let same = self.doors().passwords.is_of(password, hash).await?;
        let reason = match user {
            None => Reason::UnknownAddress,
            Some(_) if !has_password => Reason::NoPassword,
            Some(_) if !same => Reason::WrongPassword,
            Some(_) if is_disabled => Reason::Disabled,
            Some(user) => {
                self.succeeded(&counted).await?;
                return Ok(user);
            }
        };
        self.tell_failure(user, reason, visitor).await?;
        Err(Error::new(Code::Unauthenticated, "The address or the password is wrong."))
    }

    async fn knows(&self, user: Uuid, device: &str) -> Result<bool> {
        let since = self.clock().now().minus(DEVICE_KNOWN);
        self.db().knows_device(&Scope::System, user, digest(device), since).await
    }

    /// Audits that somebody did not come in: in the first company of the account, or where there is
    /// none, in what all share. The address that was typed is not kept: it may be a password.
    async fn tell_failure(&self, user: Option<Uuid>, reason: Reason, visitor: &Visitor) -> Result<()> {
        metrics::counter!("countersign_sign_ins_total", "outcome" => "failed").increment(1);
        let account = self.account(user.unwrap_or_default()).await?;
        let company = account.and_then(|(_, choices)| choices.first().map(|choice| choice.company));
        let company = company.unwrap_or(GLOBAL);
        let nobody = Actor {
            address: visitor.address.clone(),
            trace: visitor.trace.clone(),
            ..Actor::system(company, "sign-in")
        };
        let mut tx = self.begin(&nobody, &scope_of(company)).await?;
        let record = user.unwrap_or_default();
        tx.audit(AuditEntry::new("user.sign_in_failed", record).because(json!({ "reason": reason.word() })));
        tx.commit().await?;
        Ok(())
    }

    /// Changes the actor's own password, with the present one, and ends the actor's other sessions.
    pub async fn password_change(
        &self,
        actor: &Actor,
        present: Password,
        new: Password,
        visitor: &Visitor,
    ) -> Result<i64> {
        actor.allow(Permission::Read)?;
        if actor.kind != ActorKind::User || actor.session.is_none() {
            let message = "A password is changed in a session: sign in first.";
            return Err(Error::new(Code::IllegalState, message));
        }
        let (user, choices) = self.account(actor.id).await?.ok_or_else(super::unknown)?;
        self.prove(&user.email, present, None, visitor).await.map_err(|error| match error.code {
            Code::Unauthenticated => Error::invalid("present", "This is not the present password."),
            _ => error,
        })?;
        check(&new, &user, choices.iter().map(|choice| choice.name.as_str()))?;
        let hash = self.doors().passwords.hash(new).await?;
        let mut tx = self.begin(actor, &scope_of(actor.company)).await?;
        user::store::lock(&tx, &Scope::System, user.id).await?;
        let ended = set(&mut tx, &user, &hash, actor.session).await?;
        tx.commit().await?;
        Ok(ended)
    }
}

/// Refuses a password that is guessed first for this user.
pub(super) fn check<'a>(
    password: &Password,
    user: &'a User,
    companies: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let mut known = vec![user.email.as_str(), user.name.as_str(), "countersign"];
    known.extend(user.email.split('@'));
    known.extend(companies);
    hash::check(password, &known)
}

/// Sets a password, and ends all sessions but `except`. Returns how many ended.
pub(super) async fn set(tx: &mut Tx, user: &User, hash: &str, except: Option<Uuid>) -> Result<i64> {
    store::set(tx, user.id, hash).await?;
    let ended = session::store::end_all(tx, user.id, except).await?;
    tx.audit(AuditEntry::new("user.password_set", user.id).after(json!({ "sessions_ended": ended })));
    Ok(ended)
}
