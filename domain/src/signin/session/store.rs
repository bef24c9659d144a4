//! The rows of sessions and of their access tokens. They belong to users, whatever the company.

use entity::session::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{Choice, IDLE, Session};
use crate::access::{Actor, ActorKind, GLOBAL, Portfolio, Role, Scope};
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_portfolio, read_term};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::{Span, Timestamp};

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("user_id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("way", Type::Text),
    ("family", Type::Bytes),
    ("present", Type::Bytes),
    ("address", Type::Text),
    ("agent", Type::Text),
    ("created_at", Type::BigInt),
    ("refreshed_at", Type::BigInt),
    ("last_used_at", Type::BigInt),
    ("ends_at", Type::BigInt),
];

const ACCESS: &[Column] = &[
    ("hash", Type::Bytes),
    ("session_id", Type::Uuid),
    ("user_id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("expires_at", Type::BigInt),
];

pub(super) const NEWEST: Sort = Sort::new(
    "NEWEST",
    &[Key::new("s.created_at", KeyKind::Int).descending(), Key::new("s.id", KeyKind::Uuid).descending()],
);

type Digest = [u8; 32];

fn of(row: Model) -> Session {
    Session {
        id: row.id,
        user: row.user_id,
        company: row.company_id,
        way: row.way,
        address: row.address,
        agent: row.agent,
        created_at: Timestamp(row.created_at),
        refreshed_at: Timestamp(row.refreshed_at),
        last_used_at: Timestamp(row.last_used_at),
        ends_at: Timestamp(row.ends_at),
        ended_at: row.ended_at.map(Timestamp),
    }
}

fn read(row: &QueryResult) -> Result<Session> {
    Ok(of(Model::from_query_result(row, "")?))
}

fn read_digest(bytes: Vec<u8>) -> Result<Digest> {
    bytes.try_into().map_err(|_| Error::internal("a digest is not of 32 bytes"))
}

/// The sessions of `user` that have not ended.
fn live(dialect: Dialect, user: Uuid, now: Timestamp, columns: &str) -> Sql {
    Sql::new(dialect, "SELECT ")
        .push(columns)
        .push(" FROM session s WHERE s.ended_at IS NULL AND s.user_id = ")
        .bind(user)
        .push(" AND s.ends_at > ")
        .bind(now.0)
        .push(" AND s.refreshed_at > ")
        .bind(now.minus(IDLE).0)
}

/// An access token as it was found, with all that decides whether it is good.
pub(super) struct Bearer {
    session: Uuid,
    user: Uuid,
    name: String,
    company: Uuid,
    role: Option<(Role, Portfolio)>,
    disabled: bool,
    expires_at: Timestamp,
    last_used_at: Timestamp,
}

impl Bearer {
    /// The actor that the token makes, and when its session was last used.
    pub fn actor(self, now: Timestamp) -> Option<(Actor, Timestamp)> {
        let (role, portfolio) = self.role?;
        if self.disabled || self.expires_at <= now {
            return None;
        }
        let actor = Actor {
            kind: ActorKind::User,
            id: self.user,
            person: self.user,
            name: self.name,
            company: self.company,
            role,
            portfolio,
            token_scopes: None,
            token: None,
            session: Some(self.session),
            expires_at: Some(self.expires_at),
            address: None,
            trace: None,
            idempotency: None,
        };
        Some((actor, self.last_used_at))
    }
}

fn read_bearer(row: &QueryResult) -> Result<Bearer> {
    let company: Uuid = row.try_get("", "company_id")?;
    let role =
        match (row.try_get::<Option<i32>>("", "role")?, row.try_get::<Option<String>>("", "portfolio")?) {
            (Some(role), Some(portfolio)) => Some((read_term(role)?, read_portfolio(&portfolio)?)),
            _ if company == GLOBAL && row.try_get("", "platform_admin")? => {
                Some((Role::PlatformAdmin, Portfolio::Whole))
            }
            _ => None,
        };
    Ok(Bearer {
        session: row.try_get("", "session_id")?,
        user: row.try_get("", "user_id")?,
        name: row.try_get("", "name")?,
        company,
        role,
        disabled: row.try_get::<Option<i64>>("", "disabled_at")?.is_some(),
        expires_at: Timestamp(row.try_get("", "expires_at")?),
        last_used_at: Timestamp(row.try_get("", "last_used_at")?),
    })
}

impl Db {
    /// What the user may come in for, by name.
    pub(super) async fn choices(&self, scope: &Scope, user: Uuid) -> Result<Vec<Choice>> {
        let rows = Sql::new(
            self.dialect,
            "SELECT c.id, c.name, m.role, m.portfolio FROM membership m JOIN company c ON c.id = m.company_id \
             WHERE m.user_id = ",
        )
        .bind(user)
        .own(scope, "m")
        .push(" ORDER BY c.name, c.id")
        .all(self.read())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Choice {
                    company: row.try_get("", "id")?,
                    name: row.try_get("", "name")?,
                    role: read_term(row.try_get("", "role")?)?,
                    portfolio: read_portfolio(&row.try_get::<String>("", "portfolio")?)?,
                })
            })
            .collect()
    }

    /// The session of a refresh token, by the digest of its first half.
    pub(super) async fn session_of(&self, _every_company: &Scope, family: Digest) -> Result<Option<Session>> {
        let sql = Sql::new(self.dialect, "SELECT s.* FROM session s WHERE s.family = ").bind(family.to_vec());
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    /// What stands behind the digest of an access token.
    pub(super) async fn access_bearer(
        &self,
        _every_company: &Scope,
        digest: Digest,
    ) -> Result<Option<Bearer>> {
        let sql = Sql::new(
            self.dialect,
            "SELECT a.session_id, a.user_id, a.company_id, a.expires_at, s.last_used_at, u.name, \
             u.platform_admin, u.disabled_at, m.role, m.portfolio FROM session_access a \
             JOIN session s ON s.id = a.session_id JOIN user_account u ON u.id = a.user_id \
             LEFT JOIN membership m ON m.user_id = a.user_id AND m.company_id = a.company_id \
             WHERE s.ended_at IS NULL AND a.hash = ",
        )
        .bind(digest.to_vec());
        sql.one(self.read()).await?.as_ref().map(read_bearer).transpose()
    }

    /// Those of these sessions that have not ended.
    pub(super) async fn live_sessions(
        &self,
        _every_company: &Scope,
        ids: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Uuid>> {
        let rows =
            Sql::new(self.dialect, "SELECT s.id FROM session s WHERE s.ended_at IS NULL AND s.ends_at > ")
                .bind(now.0)
                .push(" AND s.refreshed_at > ")
                .bind(now.minus(IDLE).0)
                .push(" AND ")
                .one_of("s.id", ids.iter().copied())
                .all(self.read())
                .await?;
        rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// What these users have, unless they are disabled, by user and company.
    pub(super) async fn grants_of(
        &self,
        _every_company: &Scope,
        users: &[Uuid],
    ) -> Result<Vec<((Uuid, Uuid), (Role, Portfolio))>> {
        let rows = Sql::new(
            self.dialect,
            "SELECT u.id, u.platform_admin, m.company_id, m.role, m.portfolio FROM user_account u \
             LEFT JOIN membership m ON m.user_id = u.id WHERE u.disabled_at IS NULL AND ",
        )
        .one_of("u.id", users.iter().copied())
        .all(self.read())
        .await?;
        let mut grants = Vec::with_capacity(rows.len());
        for row in &rows {
            let user: Uuid = row.try_get("", "id")?;
            if row.try_get("", "platform_admin")? {
                grants.push(((user, GLOBAL), (Role::PlatformAdmin, Portfolio::Whole)));
            }
            if let Some(company) = row.try_get::<Option<Uuid>>("", "company_id")? {
                let portfolio = read_portfolio(&row.try_get::<String>("", "portfolio")?)?;
                grants.push(((user, company), (read_term(row.try_get("", "role")?)?, portfolio)));
            }
        }
        Ok(grants)
    }

    /// Notes the use of a session, at most once a minute whoever else notes it too.
    pub(super) async fn session_used(
        &self,
        _every_company: &Scope,
        session: Uuid,
        now: Timestamp,
    ) -> Result<()> {
        let tx = self.transaction().await?;
        Sql::new(self.dialect, "UPDATE session SET last_used_at = ")
            .bind(now.0)
            .push(" WHERE id = ")
            .bind(session)
            .push(" AND last_used_at <= ")
            .bind(now.minus(Span::MINUTE).0)
            .run(&tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn session(
        &self,
        _every_company: &Scope,
        user: Uuid,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Option<Session>> {
        let sql = live(self.dialect, user, now, "s.*").push(" AND s.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn sessions(
        &self,
        _every_company: &Scope,
        user: Uuid,
        now: Timestamp,
        window: &Window,
    ) -> Result<Page<Session>> {
        let columns = format!("s.*{}", key_columns(&window.sort));
        let sql = live(self.dialect, user, now, &columns).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn session_count(
        &self,
        _every_company: &Scope,
        user: Uuid,
        now: Timestamp,
    ) -> Result<i64> {
        live(self.dialect, user, now, "COUNT(*) AS n").count(self.read()).await
    }

    pub(super) async fn sessions_prune(
        &self,
        _every_company: &Scope,
        now: Timestamp,
        before: Timestamp,
    ) -> Result<u64> {
        let tx = self.transaction().await?;
        Sql::new(self.dialect, "DELETE FROM session_access WHERE expires_at <= ")
            .bind(now.0)
            .run(&tx)
            .await?;
        let pruned = Sql::new(self.dialect, "DELETE FROM session WHERE ended_at <= ")
            .bind(before.0)
            .push(" OR ends_at <= ")
            .bind(before.0)
            .run(&tx)
            .await?;
        tx.commit().await?;
        Ok(pruned.rows_affected())
    }
}

/// A session held until the transaction ends, with the digests of its present and spent refresh token.
pub(super) async fn lock(tx: &Tx, id: Uuid) -> Result<Option<(Session, Digest, Option<Digest>)>> {
    let sql = Sql::new(tx.dialect, "SELECT s.* FROM session s WHERE s.id = ").bind(id).locked();
    let Some(row) = sql.one(tx.conn()).await? else { return Ok(None) };
    let mut row = Model::from_query_result(&row, "")?;
    let present = read_digest(std::mem::take(&mut row.present))?;
    let spent = row.spent.take().map(read_digest).transpose()?;
    Ok(Some((of(row), present, spent)))
}

pub(super) async fn insert(tx: &Tx, session: &Session, family: Digest, present: Digest) -> Result<()> {
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        session.id.into(),
        session.user.into(),
        session.company.into(),
        session.way.as_str().into(),
        family.to_vec().into(),
        present.to_vec().into(),
        session.address.clone().into(),
        session.agent.clone().into(),
        session.created_at.0.into(),
        session.refreshed_at.0.into(),
        session.last_used_at.0.into(),
        session.ends_at.0.into(),
    ]);
    rows.insert(tx.conn(), tx.dialect, "session", "").await?;
    Ok(())
}

/// Adds an access token, and forgets those of the session that ended.
pub(super) async fn insert_access(
    tx: &Tx,
    session: &Session,
    company: Uuid,
    digest: Digest,
    until: Timestamp,
) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM session_access WHERE session_id = ")
        .bind(session.id)
        .push(" AND expires_at <= ")
        .bind(tx.now().0)
        .run(tx.conn())
        .await?;
    let mut rows = Rows::new(ACCESS, 1);
    rows.push([
        digest.to_vec().into(),
        session.id.into(),
        session.user.into(),
        company.into(),
        until.0.into(),
    ]);
    rows.insert(tx.conn(), tx.dialect, "session_access", "").await?;
    Ok(())
}

pub(super) async fn rotate(tx: &Tx, session: &Session, present: Digest, spent: Digest) -> Result<()> {
    Sql::new(tx.dialect, "UPDATE session SET present = ")
        .bind(present.to_vec())
        .push(", spent = ")
        .bind(spent.to_vec())
        .push(", company_id = ")
        .bind(session.company)
        .push(", address = ")
        .bind(session.address.clone())
        .push(", agent = ")
        .bind(session.agent.clone())
        .push(", refreshed_at = ")
        .bind(session.refreshed_at.0)
        .push(", last_used_at = ")
        .bind(session.last_used_at.0)
        .push(" WHERE id = ")
        .bind(session.id)
        .run(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn choose(tx: &Tx, session: &Session) -> Result<()> {
    Sql::new(tx.dialect, "UPDATE session SET company_id = ")
        .bind(session.company)
        .push(" WHERE id = ")
        .bind(session.id)
        .run(tx.conn())
        .await?;
    Ok(())
}

/// Ends a session and its access tokens.
pub(super) async fn end(tx: &Tx, id: Uuid) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM session_access WHERE session_id = ").bind(id).run(tx.conn()).await?;
    Sql::new(tx.dialect, "UPDATE session SET ended_at = ")
        .bind(tx.now().0)
        .push(" WHERE id = ")
        .bind(id)
        .run(tx.conn())
        .await?;
    Ok(())
}

/// Ends all sessions of a user but `except`, with their access tokens; says how many.
pub(crate) async fn end_all(tx: &Tx, user: Uuid, except: Option<Uuid>) -> Result<i64> {
    let except = except.unwrap_or_default();
    Sql::new(tx.dialect, "DELETE FROM session_access WHERE user_id = ")
        .bind(user)
        .push(" AND session_id <> ")
        .bind(except)
        .run(tx.conn())
        .await?;
    let ended = Sql::new(tx.dialect, "UPDATE session SET ended_at = ")
        .bind(tx.now().0)
        .push(" WHERE ended_at IS NULL AND user_id = ")
        .bind(user)
        .push(" AND id <> ")
        .bind(except)
        .run(tx.conn())
        .await?;
    Ok(i64::try_from(ended.rows_affected()).unwrap_or(i64::MAX))
}

/// Ends the access tokens that a user has for the transaction's company.
pub(crate) async fn end_access(tx: &Tx, user: Uuid) -> Result<()> {
    Sql::new(tx.dialect, "DELETE FROM session_access WHERE user_id = ")
        .bind(user)
        .push(" AND company_id = ")
        .bind(tx.company)
        .run(tx.conn())
        .await?;
    Ok(())
}

/// Ends the API tokens of a user, for `company` or all; says how many.
pub(crate) async fn revoke_tokens(tx: &Tx, user: Uuid, company: Option<Uuid>) -> Result<i64> {
    let sql = Sql::new(tx.dialect, "UPDATE api_token SET revoked_at = ")
        .bind(tx.now().0)
        .push(" WHERE revoked_at IS NULL AND user_id = ")
        .bind(user);
    let sql = match company {
        Some(company) => sql.push(" AND company_id = ").bind(company),
        None => sql,
    };
    let ended = sql.run(tx.conn()).await?;
    Ok(i64::try_from(ended.rows_affected()).unwrap_or(i64::MAX))
}
