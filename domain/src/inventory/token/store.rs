//! The rows of API tokens.

use entity::api_token::Model;
use sea_orm::{FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{Holder, Token};
use crate::access::{Actor, ActorKind, GLOBAL, Permission, Portfolio, Role, Scope};
use crate::error::{Error, Result};
use crate::inventory::record::Record;
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
    ("company_id", Type::Uuid),
    ("user_id", Type::Uuid),
    ("service_account_id", Type::Uuid),
    ("name", Type::Text),
    ("hash", Type::Bytes),
    ("scopes", Type::Text),
    ("issued_by", Type::Uuid),
    ("expires_at", Type::BigInt),
    ("created_at", Type::BigInt),
];

pub(super) const NEWEST: Sort = Sort::new(
    "NEWEST",
    &[Key::new("t.created_at", KeyKind::Int).descending(), Key::new("t.id", KeyKind::Uuid).descending()],
);

fn read(row: &QueryResult) -> Result<Token> {
    let row = Model::from_query_result(row, "")?;
    let holder = match (row.user_id, row.service_account_id) {
        (Some(user), None) => Holder::User(user),
        (None, Some(account)) => Holder::ServiceAccount(account),
        _ => return Err(Error::internal(format!("token {} has not one holder", row.id))),
    };
    Ok(Token {
        id: row.id,
        company: row.company_id,
        holder,
        name: row.name,
        scopes: read_scopes(row.scopes.as_deref())?,
        issued_by: row.issued_by,
        expires_at: Timestamp(row.expires_at),
        last_used_at: row.last_used_at.map(Timestamp),
        revoked_at: row.revoked_at.map(Timestamp),
        created_at: Timestamp(row.created_at),
    })
}

fn read_scopes(text: Option<&str>) -> Result<Option<Vec<Permission>>> {
    text.map(|text| serde_json::from_str(text).map_err(Error::internal)).transpose()
}

/// The tokens of the scope's company, of all the holders named.
fn select(dialect: Dialect, scope: &Scope, holders: [Option<Holder>; 2], columns: &str) -> Sql {
    let sql =
        Sql::new(dialect, "SELECT ").push(columns).push(" FROM api_token t WHERE 1 = 1").own(scope, "t");
    holders.into_iter().flatten().fold(sql, |sql, holder| match holder {
        Holder::User(id) => sql.push(" AND t.user_id = ").bind(id),
        Holder::ServiceAccount(id) => sql.push(" AND t.service_account_id = ").bind(id),
    })
}

/// A token as it was found by its secret, with all that decides whether it is good.
pub(super) struct Bearer {
    token: Token,
    user: Option<UserPart>,
    membership: Option<(Role, Portfolio)>,
    account: Option<AccountPart>,
}

struct UserPart {
    name: String,
    platform_admin: bool,
    disabled: bool,
}

struct AccountPart {
    name: String,
    role: Role,
    portfolio: Portfolio,
    archived: bool,
}

impl Bearer {
    /// The actor that the token makes, with the rights that its holder has at present, and when the
    /// token was last used.
    pub fn actor(self, now: Timestamp) -> Option<(Actor, Option<Timestamp>)> {
        let Self { token, user, membership, account } = self;
        let global = (Role::PlatformAdmin, Portfolio::Whole);
        let (kind, id, name, (role, portfolio)) = match (token.holder, user, account) {
            (Holder::User(id), Some(user), _) if !user.disabled => {
                let platform = (token.company == GLOBAL && user.platform_admin).then_some(global);
                (ActorKind::User, id, user.name, platform.or(membership)?)
            }
            (Holder::ServiceAccount(id), _, Some(account)) if !account.archived => {
                (ActorKind::ServiceAccount, id, account.name, (account.role, account.portfolio))
            }
            _ => return None,
        };
        if token.revoked_at.is_some() || token.expires_at <= now {
            return None;
        }
        let actor = Actor {
            kind,
            id,
            person: if kind == ActorKind::User { id } else { token.issued_by },
            name,
            company: token.company,
            role,
            portfolio,
            token_scopes: token.scopes,
            token: Some(token.id),
            session: None,
            expires_at: Some(token.expires_at),
            address: None,
            trace: None,
            idempotency: None,
        };
        Some((actor, token.last_used_at))
    }
}

const BEARER: &str = "SELECT t.*, u.name AS user_name, u.platform_admin, u.disabled_at, \
    m.role AS member_role, m.portfolio AS member_portfolio, \
    s.name AS account_name, s.role AS account_role, s.portfolio AS account_portfolio, s.archived_at \
    FROM api_token t \
    LEFT JOIN user_account u ON u.id = t.user_id \
    LEFT JOIN membership m ON m.user_id = t.user_id AND m.company_id = t.company_id \
    LEFT JOIN service_account s ON s.id = t.service_account_id WHERE ";

fn read_bearer(row: &QueryResult) -> Result<Bearer> {
    let text = |name: &str| row.try_get::<Option<String>>("", name);
    let number = |name: &str| row.try_get::<Option<i32>>("", name);
    let user = match text("user_name")? {
        Some(name) => Some(UserPart {
            name,
            platform_admin: row.try_get("", "platform_admin")?,
            disabled: row.try_get::<Option<i64>>("", "disabled_at")?.is_some(),
        }),
        None => None,
    };
    let membership = match (number("member_role")?, text("member_portfolio")?) {
        (Some(role), Some(portfolio)) => Some((read_term(role)?, read_portfolio(&portfolio)?)),
        _ => None,
    };
    let account = match (text("account_name")?, number("account_role")?, text("account_portfolio")?) {
        (Some(name), Some(role), Some(portfolio)) => Some(AccountPart {
            name,
            role: read_term(role)?,
            portfolio: read_portfolio(&portfolio)?,
            archived: row.try_get::<Option<i64>>("", "archived_at")?.is_some(),
        }),
        _ => None,
    };
    Ok(Bearer { token: read(row)?, user, membership, account })
}

impl Db {
    pub(super) async fn token(
        &self,
        scope: &Scope,
        holder: Option<Holder>,
        id: Uuid,
    ) -> Result<Option<Token>> {
        let sql = select(self.dialect, scope, [holder, None], "t.*").push(" AND t.id = ").bind(id);
        sql.one(self.read()).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn tokens(
        &self,
        scope: &Scope,
        holders: [Option<Holder>; 2],
        window: &Window,
    ) -> Result<Page<Token>> {
        let columns = format!("t.*{}", key_columns(&window.sort));
        let sql = select(self.dialect, scope, holders, &columns).window(window);
        page(window, &sql.all(self.read()).await?, read)
    }

    pub(super) async fn token_count(&self, scope: &Scope, holders: [Option<Holder>; 2]) -> Result<i64> {
        select(self.dialect, scope, holders, "COUNT(*) AS n").count(self.read()).await
    }

    /// What stands behind the digest of a secret, in whatever company of `scope`.
    pub(super) async fn token_bearer(&self, scope: &Scope, digest: [u8; 32]) -> Result<Option<Bearer>> {
        let sql = Sql::new(self.dialect, BEARER).push("t.hash = ").bind(digest.to_vec()).own(scope, "t");
        sql.one(self.read()).await?.as_ref().map(read_bearer).transpose()
    }

    /// What stands behind these tokens.
    pub(super) async fn token_bearers(&self, scope: &Scope, ids: &[Uuid]) -> Result<Vec<Bearer>> {
        let sql = Sql::new(self.dialect, BEARER).one_of("t.id", ids.iter().copied()).own(scope, "t");
        sql.all(self.read()).await?.iter().map(read_bearer).collect()
    }

    /// Notes the use of a token, at most once a minute whoever else notes it too.
    pub(super) async fn token_used(&self, _every_company: &Scope, token: Uuid, now: Timestamp) -> Result<()> {
        let tx = self.transaction().await?;
        Sql::new(self.dialect, "UPDATE api_token SET last_used_at = ")
            .bind(now.0)
            .push(" WHERE id = ")
            .bind(token)
            .push(" AND (last_used_at IS NULL OR last_used_at <= ")
            .bind(now.minus(Span::MINUTE).0)
            .push(")")
            .run(&tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(super) async fn lock(tx: &Tx, scope: &Scope, holder: Option<Holder>, id: Uuid) -> Result<Token> {
    let sql = select(tx.dialect, scope, [holder, None], "t.*").push(" AND t.id = ").bind(id).locked();
    let row = sql.one(tx.conn()).await?.ok_or_else(|| Error::not_found(Token::NOUN))?;
    read(&row)
}

pub(super) async fn insert(tx: &Tx, token: &Token, digest: [u8; 32]) -> Result<()> {
    let (user, account) = match token.holder {
        Holder::User(id) => (Some(id), None),
        Holder::ServiceAccount(id) => (None, Some(id)),
    };
    let scopes = token.scopes.as_ref().map(|scopes| serde_json::json!(scopes).to_string());
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        token.id.into(),
        token.company.into(),
        user.into(),
        account.into(),
        token.name.as_str().into(),
        digest.to_vec().into(),
        scopes.into(),
        token.issued_by.into(),
        token.expires_at.0.into(),
        token.created_at.0.into(),
    ]);
    rows.insert(tx.conn(), tx.dialect, "api_token", "").await?;
    Ok(())
}

pub(super) async fn revoke(tx: &Tx, token: &Token) -> Result<()> {
    Sql::new(tx.dialect, "UPDATE api_token SET revoked_at = ")
        .bind(token.revoked_at.map(|at| at.0))
        .push(" WHERE id = ")
        .bind(token.id)
        .run(tx.conn())
        .await?;
    Ok(())
}
