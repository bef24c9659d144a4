//! Sessions: what a person has who signed in, on one device.
//!
//! An access token lives for minutes and is for one company; the session may have several alive, so
//! that one that was refreshed or switched goes on where it is in use. A refresh token is good once.
//! It has two halves, of which the first stays the same over all rotations: a token that has the
//! first and not the right second was good before, so somebody has a copy, and the session ends.

use std::collections::{HashMap, HashSet};

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::secret::{self, Secret, digest};
use super::{Visitor, unknown};
use crate::Domain;
use crate::access::{Actor, ActorKind, GLOBAL, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::inventory::record::Record;
use crate::inventory::user::{self, User};
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs, Window};
use crate::vocabulary::time::{Span, Timestamp};

pub(crate) mod store;

/// How long an access token lives.
pub const ACCESS_LIFE: Span = Span(15 * Span::MINUTE.0);
/// How long a session lives that is not refreshed, and at most.
pub const IDLE: Span = Span(7 * Span::DAY.0);
pub const LIFE: Span = Span(30 * Span::DAY.0);
/// How long a refresh token that was just used is taken for a client's second try: it gives nothing,
/// and ends nothing.
const RACE: Span = Span(10 * Span::SECOND.0);
/// How long a session that ended is remembered.
const KEPT: Span = Span(30 * Span::DAY.0);
/// How many records one statement asks for.
const CHUNK: usize = 500;
/// The most characters of what a client calls itself.
const AGENT: usize = 200;
/// The length of each half of a refresh token.
const HALF: usize = 43;

#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub id: Uuid,
    pub user: Uuid,
    /// The company that it was last for.
    pub company: Uuid,
    /// `password`, `link`, or `oidc:` and the provider.
    pub way: String,
    pub address: Option<String>,
    pub agent: Option<String>,
    pub created_at: Timestamp,
    pub refreshed_at: Timestamp,
    /// To the minute.
    pub last_used_at: Timestamp,
    /// When it ends, however often it is refreshed.
    pub ends_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

impl Session {
    /// When its refresh token ends.
    pub fn until(&self) -> Timestamp {
        self.ends_at.min(self.refreshed_at.plus(IDLE))
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.until()
    }
}

impl Record for Session {
    const NOUN: &'static str = "session";

    fn id(&self) -> Uuid {
        self.id
    }

    /// A session begins and ends, and is never edited.
    fn version(&self) -> i64 {
        1
    }

    fn facts(&self) -> Json {
        json!({ "user": self.user, "way": self.way, "agent": self.agent, "ends_at": self.ends_at })
    }
}

/// A company that somebody may come in for.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub company: Uuid,
    pub name: String,
    pub role: Role,
    pub portfolio: Portfolio,
}

/// What somebody who came in is given.
#[derive(Clone, Debug)]
pub struct Granted {
    pub session: Session,
    /// The company that the access token is for.
    pub company: Uuid,
    pub access: Secret,
    pub access_until: Timestamp,
    /// None where the one that the client has stays good.
    pub refresh: Option<Secret>,
    /// All that the user may choose from, by name.
    pub companies: Vec<Choice>,
    /// A secret by which this device is known the next time.
    pub device: Option<Secret>,
}

impl Actor {
    /// The user, acting in a session for the company of `choice`.
    pub(crate) fn person(user: &User, choice: &Choice, session: Option<Uuid>, visitor: &Visitor) -> Self {
        Self {
            kind: ActorKind::User,
            id: user.id,
            person: user.id,
            name: user.name.clone(),
            company: choice.company,
            role: choice.role,
            portfolio: choice.portfolio.clone(),
            token_scopes: None,
            token: None,
            session,
            expires_at: None,
            address: visitor.address.clone(),
            trace: visitor.trace.clone(),
            idempotency: None,
        }
    }
}

/// The scope in which something of `company` is written.
pub(crate) fn scope_of(company: Uuid) -> Scope {
    if company == GLOBAL { Scope::Global } else { Scope::Company(company, Portfolio::Whole) }
}

impl Domain {
    /// The account of this id, and the companies that it may come in for.
    pub(crate) async fn account(&self, id: Uuid) -> Result<Option<(User, Vec<Choice>)>> {
        let users = user::store::by_id(self.db().read(), self.db().dialect, &Scope::System, &[id]).await?;
        let Some(user) = users.into_values().next() else { return Ok(None) };
        let mut choices = self.db().choices(&Scope::System, id).await?;
        if user.platform_admin {
            choices.push(Choice {
                company: GLOBAL,
                name: "All companies".to_owned(),
                role: Role::PlatformAdmin,
                portfolio: Portfolio::Whole,
            });
        }
        Ok(Some((user, choices)))
    }

    /// Begins a session of somebody who proved who they are, for `company` or the first by name.
    pub(crate) async fn session_begin(
        &self,
        user: Uuid,
        way: &str,
        life: Span,
        company: Option<Uuid>,
        visitor: &Visitor,
    ) -> Result<Granted> {
        let (user, companies) = self.account(user).await?.ok_or_else(unknown)?;
        let choice = chosen(&companies, company)?.clone();
        let id = self.clock().id();
        let actor = Actor::person(&user, &choice, Some(id), visitor);
        let scope = scope_of(choice.company);
        let mut tx = self.begin(&actor, &scope).await?;
        // Whoever disables the account waits for this, or this sees that it is.
        if user::store::lock(&tx, &Scope::System, user.id).await?.disabled_at.is_some() {
            return Err(unknown());
        }
        let now = tx.now();
        let session = Session {
            id,
            user: user.id,
            company: choice.company,
            way: way.to_owned(),
            address: visitor.address.clone(),
            agent: agent(visitor),
            created_at: now,
            refreshed_at: now,
            last_used_at: now,
            ends_at: now.plus(life),
            ended_at: None,
        };
        let family = secret::random()?;
        let refresh = refresh_token(&family)?;
        store::insert(&tx, &session, digest(&family), refresh.digest()).await?;
        let (access, access_until) = self.access(&tx, &session, choice.company).await?;
        tx.audit_created("session.started", &session);
        tx.commit().await?;
        metrics::counter!("countersign_sign_ins_total", "outcome" => "ok").increment(1);
        let company = choice.company;
        Ok(Granted {
            session,
            company,
            access,
            access_until,
            refresh: Some(refresh),
            companies,
            device: None,
        })
    }

    /// A new access token of a session, for `company`.
    async fn access(
        &self,
        tx: &crate::store::Tx,
        session: &Session,
        company: Uuid,
    ) -> Result<(Secret, Timestamp)> {
        let access = Secret::new(secret::ACCESS)?;
        let until = session.ends_at.min(tx.now().plus(ACCESS_LIFE));
        store::insert_access(tx, session, company, access.digest(), until).await?;
        Ok((access, until))
    }

    /// New tokens for a refresh token, which is good once, for `company` or the one it was for.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for one that is not good. If it was before, its session ends. `CONFLICT` for
    /// one that was good a moment ago: the client sent it twice, and has the new one.
    pub async fn session_refresh(
        &self,
        refresh: &str,
        company: Option<Uuid>,
        visitor: &Visitor,
    ) -> Result<Granted> {
        let halves = refresh.strip_prefix(secret::REFRESH).filter(|halves| halves.len() == 2 * HALF);
        let family = halves.and_then(|halves| halves.get(..HALF)).ok_or_else(unknown)?;
        let found = self.db().session_of(&Scope::System, digest(family)).await?.ok_or_else(unknown)?;
        let (user, companies) = self.account(found.user).await?.ok_or_else(unknown)?;
        let choice = match company {
            Some(company) => chosen(&companies, Some(company))?.clone(),
            None => companies
                .iter()
                .find(|choice| choice.company == found.company)
                .or(companies.first())
                .cloned()
                .ok_or_else(unknown)?,
        };
        let actor = Actor::person(&user, &choice, Some(found.id), visitor);
        let mut tx = self.begin(&actor, &scope_of(choice.company)).await?;
        let now = tx.now();
        if user::store::lock(&tx, &Scope::System, user.id).await?.disabled_at.is_some() {
            return Err(unknown());
        }
        let (mut session, present, spent) = store::lock(&tx, found.id).await?.ok_or_else(unknown)?;
        if !session.is_live(now) {
            return Err(unknown());
        }
        let shown = digest(refresh);
        if shown != present {
            if Some(shown) == spent && now < session.refreshed_at.plus(RACE) {
                let message = "This refresh token was used a moment ago: go on with what it was answered.";
                return Err(Error::new(Code::Conflict, message));
            }
            store::end(&tx, session.id).await?;
            tx.audit(AuditEntry::new("session.reused", session.id).before(session.facts()));
            tx.commit().await?;
            tracing::warn!(session = %session.id, "a refresh token was used twice: its session has ended");
            return Err(unknown());
        }
        session.company = choice.company;
        session.refreshed_at = now;
        session.last_used_at = now;
        session.address = visitor.address.clone().or(session.address);
        session.agent = agent(visitor).or(session.agent);
        let refresh = refresh_token(family)?;
        store::rotate(&tx, &session, refresh.digest(), present).await?;
        let (access, access_until) = self.access(&tx, &session, choice.company).await?;
        tx.commit().await?;
        let company = choice.company;
        Ok(Granted {
            session,
            company,
            access,
            access_until,
            refresh: Some(refresh),
            companies,
            device: None,
        })
    }

    /// An access token of the actor's session for another company. The one at hand stays good.
    pub async fn session_switch(&self, actor: &Actor, company: Uuid, visitor: &Visitor) -> Result<Granted> {
        let id = own_session(actor)?;
        let (user, companies) = self.account(actor.id).await?.ok_or_else(unknown)?;
        let choice = chosen(&companies, Some(company))?.clone();
        let actor = Actor::person(&user, &choice, Some(id), visitor);
        let tx = self.begin(&actor, &scope_of(choice.company)).await?;
        let (mut session, _, _) = store::lock(&tx, id).await?.ok_or_else(unknown)?;
        if !session.is_live(tx.now()) {
            return Err(unknown());
        }
        session.company = choice.company;
        store::choose(&tx, &session).await?;
        let (access, access_until) = self.access(&tx, &session, choice.company).await?;
        tx.commit().await?;
        let company = choice.company;
        Ok(Granted { session, company, access, access_until, refresh: None, companies, device: None })
    }

    /// Who comes with an access token, with the rights of this moment.
    pub(super) async fn session_actor(&self, bearer: &str) -> Result<Option<Actor>> {
        let now = self.clock().now();
        let Some(found) = self.db().access_bearer(&Scope::System, digest(bearer)).await? else {
            return Ok(None);
        };
        let Some((actor, last_used_at)) = found.actor(now) else { return Ok(None) };
        if last_used_at <= now.minus(Span::MINUTE)
            && let Some(session) = actor.session
            && let Err(error) = self.db().session_used(&Scope::System, session, now).await
        {
            tracing::warn!(%session, %error, "the last use of a session was not noted");
        }
        Ok(Some(actor))
    }

    /// Those of these sessions that have not ended.
    pub(crate) async fn live_sessions(&self, ids: Vec<Uuid>) -> Result<HashSet<Uuid>> {
        let mut live = HashSet::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            live.extend(self.db().live_sessions(&Scope::System, chunk, self.clock().now()).await?);
        }
        Ok(live)
    }

    /// What users who are not disabled have now, by user and company.
    pub(crate) async fn grants_of(
        &self,
        users: Vec<Uuid>,
    ) -> Result<HashMap<(Uuid, Uuid), (Role, Portfolio)>> {
        let mut grants = HashMap::with_capacity(users.len());
        for chunk in users.chunks(CHUNK) {
            grants.extend(self.db().grants_of(&Scope::System, chunk).await?);
        }
        Ok(grants)
    }

    /// A session of the actor's own that has not ended.
    pub async fn session(&self, actor: &Actor, id: Uuid) -> Result<Session> {
        let user = reader(actor)?;
        let found = self.db().session(&Scope::System, user, id, self.clock().now()).await?;
        found.ok_or_else(|| Error::not_found(Session::NOUN))
    }

    /// The actor's own sessions that have not ended, newest first.
    pub async fn sessions(&self, actor: &Actor, page: &PageArgs) -> Result<Page<Session>> {
        let user = reader(actor)?;
        let window = Window::new(page, store::NEWEST)?;
        self.db().sessions(&Scope::System, user, self.clock().now(), &window).await
    }

    pub async fn session_count(&self, actor: &Actor) -> Result<i64> {
        let user = reader(actor)?;
        self.db().session_count(&Scope::System, user, self.clock().now()).await
    }

    /// Ends a session of the actor's own, with all of its tokens.
    pub async fn session_end(&self, actor: &Actor, id: Uuid) -> Result<Session> {
        let scope = own(actor)?;
        let mut tx = self.begin(actor, &scope).await?;
        let found = store::lock(&tx, id).await?.map(|(session, _, _)| session);
        let found = found.filter(|session| session.user == actor.id && session.is_live(tx.now()));
        let mut session = found.ok_or_else(|| Error::not_found(Session::NOUN))?;
        store::end(&tx, id).await?;
        session.ended_at = Some(tx.now());
        tx.audit(AuditEntry::new("session.ended", id).before(session.facts()));
        tx.commit().await?;
        Ok(session)
    }

    /// Ends the session that the actor came with.
    pub async fn sign_out(&self, actor: &Actor) -> Result<Session> {
        self.session_end(actor, own_session(actor)?).await
    }

    /// Ends all sessions of the actor, or, by who manages members, of a member whose account is that
    /// company's alone; with `tokens`, also the API tokens. Returns how many sessions ended.
    pub async fn sign_out_everywhere(
        &self,
        actor: &Actor,
        user: Option<Uuid>,
        tokens: bool,
    ) -> Result<(User, i64)> {
        let id = user.unwrap_or(actor.id);
        let is_own = actor.kind == ActorKind::User && id == actor.id;
        let scope = if is_own { own(actor)? } else { actor.allow(Permission::ManageMembers)? };
        let mut tx = self.begin(actor, &scope).await?;
        let reach = if is_own { &Scope::System } else { &scope };
        let user = user::store::lock(&tx, reach, id).await?;
        if !is_own {
            user::check_alone(&tx, &scope, &user).await?;
        }
        let ended = store::end_all(&tx, id, None).await?;
        let revoked = if tokens { store::revoke_tokens(&tx, id, None).await? } else { 0 };
        let told = json!({ "sessions": ended, "tokens": revoked });
        tx.audit(AuditEntry::new("user.signed_out", id).after(told));
        tx.commit().await?;
        Ok((user, ended))
    }

    /// Forgets sessions that ended long ago, and access tokens that ended.
    pub(crate) async fn sessions_prune(&self) -> Result<u64> {
        let now = self.clock().now();
        self.db().sessions_prune(&Scope::System, now, now.minus(KEPT)).await
    }
}

/// The company that was asked for, or the first.
fn chosen(companies: &[Choice], asked: Option<Uuid>) -> Result<&Choice> {
    let found = match asked {
        Some(company) => companies.iter().find(|choice| choice.company == company),
        None => companies.first(),
    };
    found.ok_or_else(|| match asked {
        Some(_) => Error::not_found("company").at("company"),
        None => Error::new(Code::Forbidden, "This account is a member of no company."),
    })
}

/// The user who asks for what is their own.
fn reader(actor: &Actor) -> Result<Uuid> {
    actor.allow(Permission::Read)?;
    match actor.kind {
        ActorKind::User => Ok(actor.id),
        // Nobody's sessions.
        ActorKind::ServiceAccount | ActorKind::System => Ok(Uuid::nil()),
    }
}

/// The scope in which somebody ends what is their own: no token of limited scopes does.
fn own(actor: &Actor) -> Result<Scope> {
    if actor.kind != ActorKind::User || actor.token_scopes.is_some() {
        return Err(Error::new(Code::Forbidden, "A token of limited scopes ends no sessions."));
    }
    actor.allow(Permission::Read)
}

fn own_session(actor: &Actor) -> Result<Uuid> {
    let message = "This needs the access token of a session: sign in first.";
    actor.session.ok_or_else(|| Error::new(Code::IllegalState, message))
}

fn refresh_token(family: &str) -> Result<Secret> {
    Ok(Secret::of(format!("{}{family}{}", secret::REFRESH, secret::random()?)))
}

/// What the client calls itself, fit to be listed.
fn agent(visitor: &Visitor) -> Option<String> {
    let agent = visitor.agent.as_deref()?;
    let agent: String = agent.chars().filter(|char| !char.is_control()).take(AGENT).collect();
    Some(agent.trim().to_owned()).filter(|agent| !agent.is_empty())
}
