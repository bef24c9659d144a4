//! Mutations that happen once, however often they are sent.
//!
//! A transport asks [`Domain::answered`] before it runs a mutation for an actor that carries an
//! [`Idempotency`] key. If the key is new, the mutation's own transaction stores the id of the
//! record it answers with, so that the effect and the answer come together or not at all.

use uuid::Uuid;

use super::Tx;
use super::sql::Sql;
use crate::Domain;
use crate::access::{Actor, Idempotency};
use crate::error::{Code, Error, Result};
use crate::vocabulary::time::Span;

/// How long an answer is kept.
pub const KEPT: Span = Span::DAY;

impl Domain {
    /// The record that answered the same request before; `None` if the actor has no key or the key
    /// is new. A key that stood for another request is refused with IDEMPOTENCY_MISMATCH.
    pub async fn answered(&self, actor: &Actor) -> Result<Option<Uuid>> {
        let Some(Idempotency { key, request }) = &actor.idempotency else { return Ok(None) };
        if key.is_empty() || key.len() > 200 || key.chars().any(char::is_control) {
            return Err(Error::invalid("idempotencyKey", "The key is one line of 1 to 200 bytes."));
        }
        let row = Sql::new(self.db().dialect, "SELECT request, answer FROM idempotency WHERE company_id = ")
            .bind(actor.company)
            .push(" AND actor_id = ")
            .bind(actor.id)
            .push(" AND key = ")
            .bind(key.as_str())
            .push(" AND created_at > ")
            .bind(self.clock().now().minus(KEPT).0)
            .one(self.db().read())
            .await?;
        let Some(row) = row else { return Ok(None) };
        if row.try_get::<Vec<u8>>("", "request")? != request {
            return Err(Error::new(
                Code::IdempotencyMismatch,
                "This idempotency key was used for a different request.",
            )
            .at("idempotencyKey"));
        }
        let answer: String = row.try_get("", "answer")?;
        Uuid::parse_str(&answer).map(Some).map_err(Error::internal)
    }

    /// Forgets the answers that are older than [`KEPT`]; returns how many.
    pub async fn idempotency_prune(&self) -> Result<u64> {
        let tx = self.db().transaction().await?;
        let ended = self.clock().now().minus(KEPT);
        let pruned = Sql::new(self.db().dialect, "DELETE FROM idempotency WHERE created_at <= ")
            .bind(ended.0)
            .run(&tx)
            .await?;
        tx.commit().await?;
        Ok(pruned.rows_affected())
    }
}

/// Whose key it is: one key of one actor stands for different requests in different companies.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    pub company: Uuid,
    pub actor: Uuid,
}

/// Stores the answer in the transaction of its effect. If a request with the same key got there
/// first, this one is refused, and with it its effect.
pub(super) async fn store(tx: &Tx, caller: Caller, promise: &Idempotency, answer: Uuid) -> Result<()> {
    let stored = Sql::new(
        tx.dialect,
        "INSERT INTO idempotency (company_id, actor_id, key, request, answer, created_at) VALUES (",
    )
    .bind(caller.company)
    .push(", ")
    .bind(caller.actor)
    .push(", ")
    .bind(promise.key.as_str())
    .push(", ")
    .bind(promise.request.to_vec())
    .push(", ")
    .bind(answer.to_string())
    .push(", ")
    .bind(tx.now().0)
    .push(
        ") ON CONFLICT (company_id, actor_id, key) DO UPDATE SET request = excluded.request, \
         answer = excluded.answer, created_at = excluded.created_at WHERE idempotency.created_at <= ",
    )
    .bind(tx.now().minus(KEPT).0)
    .run(tx.conn())
    .await?;
    if stored.rows_affected() == 1 {
        return Ok(());
    }
    Err(Error::new(
        Code::Conflict,
        "A request with this idempotency key is just being answered: send it again.",
    )
    .at("idempotencyKey"))
}
