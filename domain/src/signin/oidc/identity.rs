//! Whose account an issuer's subject is, and what its groups give.
//!
//! A subject is known by its issuer once it came in. Before, it is told by an address that the issuer
//! has verified, of a domain that the configuration lets the issuer speak for: an issuer that anybody
//! can have an address of takes over no account.

use serde_json::json;
use uuid::Uuid;

use super::claims::Claims;
use super::issuer::Issuer;
use super::{GroupGrant, Provider};
use crate::Domain;
use crate::access::{Actor, GLOBAL, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::membership;
use crate::inventory::record::taken;
use crate::inventory::user::{self, User};
use crate::inventory::{company, input};
use crate::ledger::AuditEntry;
use crate::signin::Visitor;
use crate::signin::session::scope_of;

impl Provider {
    /// What these groups give in a company.
    fn granted(&self, company: &str, groups: &[&str]) -> Option<&GroupGrant> {
        self.grants.iter().find(|grant| grant.company == company && groups.contains(&grant.group.as_str()))
    }

    /// The companies that the configuration names, each once.
    fn companies(&self) -> Vec<&str> {
        let mut companies: Vec<&str> = self.grants.iter().map(|grant| grant.company.as_str()).collect();
        companies.sort_unstable();
        companies.dedup();
        companies
    }

    /// Whether the issuer speaks for this address.
    fn speaks_for(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|known| known.eq_ignore_ascii_case(domain)))
    }
}

impl Domain {
    /// The account of a subject, after what its groups say was done, and the companies that it is of.
    pub(super) async fn identified(
        &self,
        issuer: &Issuer,
        claims: &Claims,
        visitor: &Visitor,
    ) -> Result<(Uuid, Vec<Uuid>)> {
        let provider = &issuer.provider;
        let speaker = |company| Actor {
            address: visitor.address.clone(),
            trace: visitor.trace.clone(),
            ..Actor::system(company, &format!("sign-in by {}", provider.key))
        };
        let email = claims.email();
        if !provider.domains.is_empty() && email.as_ref().is_none_or(|(email, _)| !provider.speaks_for(email))
        {
            return Err(Error::new(Code::Forbidden, "Addresses of this domain do not come in this way."));
        }
        let known = self.db().identity(&Scope::System, &provider.issuer, claims.subject()).await?;
        let user = match known {
            Some(user) => user,
            None => self.introduce(provider, claims, email, &speaker(GLOBAL)).await?,
        };
        let (account, _) = self.account(user).await?.ok_or_else(crate::signin::unknown)?;
        if account.disabled_at.is_none() {
            let groups = claims.groups(&provider.groups_claim).unwrap_or_default();
            for name in provider.companies() {
                let Some(company) = self.db().company_named(&Scope::System, name).await? else {
                    tracing::warn!(provider = provider.key, company = name, "there is no such company");
                    continue;
                };
                let role = provider.granted(name, &groups).map(|grant| grant.role);
                self.follow_groups(provider, &account, company, role, &speaker(company)).await?;
            }
        }
        let (_, choices) = self.account(user).await?.ok_or_else(crate::signin::unknown)?;
        Ok((user, choices.into_iter().map(|choice| choice.company).collect()))
    }

    /// Finds or makes the account of a subject that was not here before.
    async fn introduce(
        &self,
        provider: &Provider,
        claims: &Claims,
        email: Option<(String, bool)>,
        speaker: &Actor,
    ) -> Result<Uuid> {
        let unknown = || Error::new(Code::Forbidden, "There is no account for you here: ask to be invited.");
        let (email, verified) = email.ok_or_else(unknown)?;
        if !verified || !provider.speaks_for(&email) {
            return Err(unknown());
        }
        let email = input::email("email", &email)?;
        let mut tx = self.begin(speaker, &Scope::Global).await?;
        let user = match user::store::by_email(&tx, &Scope::System, &email).await? {
            Some(user) => user,
            None if !provider.provisioning => return Err(unknown()),
            None => {
                let name = claims.name().unwrap_or(&email);
                let user = User {
                    id: self.clock().id(),
                    name: input::name("name", name, input::NAME)?,
                    email,
                    platform_admin: false,
                    disabled_at: None,
                    created_at: tx.now(),
                    updated_at: tx.now(),
                    version: 1,
                };
                user::store::insert(&tx, &user).await.map_err(|error| taken(error, "email", user::TAKEN))?;
                tx.audit_created("user.created", &user);
                user
            }
        };
        super::store::insert_identity(&tx, &provider.issuer, claims.subject(), user.id).await?;
        let told = json!({ "issuer": provider.issuer, "subject": claims.subject() });
        tx.audit(AuditEntry::new("user.identity_linked", user.id).after(told));
        tx.commit().await?;
        Ok(user.id)
    }

    /// Makes a membership what the groups say. One that no group gave stays, until a group does.
    async fn follow_groups(
        &self,
        provider: &Provider,
        user: &User,
        company: Uuid,
        role: Option<Role>,
        speaker: &Actor,
    ) -> Result<()> {
        let scope = scope_of(company);
        let mut tx = self.begin(speaker, &scope).await?;
        company::store::lock(&tx, &scope).await?;
        let member = membership::store::of_user(&tx, &scope, user.id).await?;
        let given = super::store::given_by(&tx, user.id).await?;
        match (member, role) {
            (None, None) => return Ok(()),
            (Some(member), None) => {
                if given.as_deref() != Some(provider.key.as_str()) {
                    return Ok(());
                }
                self.leave(&mut tx, speaker, &member, user, None).await?;
            }
            (None, Some(role)) => {
                self.join(&mut tx, &scope, user.id, role, Portfolio::Whole).await?;
                super::store::give(&tx, user.id, &provider.key).await?;
            }
            (Some(before), Some(role)) => {
                if before.role == role && given.as_deref() == Some(provider.key.as_str()) {
                    return Ok(());
                }
                let mut after = before.clone();
                after.role = role;
                if tx.audit_changed("membership.updated", &before, &after).is_some() {
                    after.updated_at = tx.now();
                    after.version += 1;
                    membership::store::update(&tx, &after).await?;
                }
                super::store::give(&tx, user.id, &provider.key).await?;
            }
        }
        tx.commit().await?;
        self.wake_jobs();
        Ok(())
    }

    /// The actor of a bearer token: a member of a company that the configuration names, with the role
    /// of the token's groups where it tells them. Nothing is written.
    pub(super) async fn bearer_actor(&self, issuer: &Issuer, claims: &Claims) -> Result<Option<Actor>> {
        let provider = &issuer.provider;
        let Some(user) = self.db().identity(&Scope::System, &provider.issuer, claims.subject()).await? else {
            return Ok(None);
        };
        let Some((user, choices)) = self.account(user).await? else { return Ok(None) };
        if user.disabled_at.is_some() {
            return Ok(None);
        }
        let groups = claims.groups(&provider.groups_claim);
        let chosen = provider.grants.iter().find_map(|grant| {
            let choice = choices.iter().find(|choice| choice.name == grant.company)?;
            match &groups {
                Some(groups) if !groups.contains(&grant.group.as_str()) => None,
                Some(_) => Some((choice, grant.role)),
                None => Some((choice, choice.role)),
            }
        });
        let Some((choice, role)) = chosen else { return Ok(None) };
        let mut actor = Actor::person(&user, choice, None, &Visitor::default());
        // Where the two differ, the next sign-in brings them in step; until then neither is believed.
        if role != choice.role {
            return Ok(None);
        }
        actor.expires_at = claims.expires();
        Ok(Some(actor))
    }
}
