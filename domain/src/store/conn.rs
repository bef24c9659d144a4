//! A connection whose statements are counted, and told to the trace by their text, never by their
//! values.

use std::time::Instant;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    Statement, StreamTrait, TransactionOptions, TransactionTrait,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};

use super::tally;
use crate::error::Result;

/// How much of a statement's text goes into a trace: lists of values are long.
const TEXT: usize = 2_048;

/// A pool of connections, or the one that a transaction holds.
#[derive(Clone)]
pub(crate) struct Conn<C> {
    inner: C,
    source: Source,
}

/// Where a statement gets its connection.
#[derive(Clone)]
enum Source {
    Sqlite(&'static str, DatabaseConnection),
    Postgres(&'static str, DatabaseConnection),
    /// It is there, held by a transaction that the trace knows as this.
    Held(Span),
}

pub(crate) type Transaction = Conn<DatabaseTransaction>;

/// A pool, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `writer` or `reader`.
    pub name: &'static str,
    /// Connections that somebody uses.
    pub used: u32,
    /// Connections that are open and wait for somebody.
    pub idle: u32,
    /// The most that may be open.
    pub most: u32,
}

impl Conn<DatabaseConnection> {
    pub fn sqlite(inner: DatabaseConnection, name: &'static str) -> Self {
        Self { source: Source::Sqlite(name, inner.clone()), inner }
    }

    pub fn postgres(inner: DatabaseConnection, name: &'static str) -> Self {
        Self { source: Source::Postgres(name, inner.clone()), inner }
    }

    /// The pool itself, for what no request does.
    pub fn inner(&self) -> &DatabaseConnection {
        &self.inner
    }

    /// Begins a transaction, once a connection is free.
    pub async fn begin(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
        self.note_wait();
        let span = within(&Span::current(), || {
            debug_span!("transaction", job.id = Empty, job.stage = Empty, job.done = Empty)
        });
        let began = Instant::now();
        let beginning = self.inner.begin_with_options(options);
        let begin = within(&span, || debug_span!(parent: &span, "begin", otel.kind = "client"));
        let begun = beginning.instrument(begin).await;
        metrics::histogram!("countersign_db_begin_seconds").record(began.elapsed().as_secs_f64());
        Ok(Conn { inner: begun?, source: Source::Held(span) })
    }
}

impl Transaction {
    pub async fn commit(self) -> Result<(), DbErr> {
        let span = self.span();
        let commit = within(&span, || debug_span!(parent: &span, "commit", otel.kind = "client"));
        self.inner.commit().instrument(commit).await
    }

    pub async fn rollback(self) -> Result<(), DbErr> {
        let span = self.span();
        let rollback = within(&span, || debug_span!(parent: &span, "rollback", otel.kind = "client"));
        self.inner.rollback().instrument(rollback).await
    }
}

impl<C: ConnectionTrait> Conn<C> {
    /// The pool that statements get their connection from, as it stands.
    pub fn pool(&self) -> Option<Pool> {
        let (name, open, idle, most) = match &self.source {
            Source::Sqlite(name, pool) => {
                let pool = pool.get_sqlite_connection_pool();
                (*name, pool.size(), pool.num_idle(), pool.options().get_max_connections())
            }
            Source::Postgres(name, pool) => {
                let pool = pool.get_postgres_connection_pool();
                (*name, pool.size(), pool.num_idle(), pool.options().get_max_connections())
            }
            Source::Held(_) => return None,
        };
        let idle = u32::try_from(idle).unwrap_or(open).min(open);
        Some(Pool { name, used: open - idle, idle, most })
    }

    /// What the trace says of the transaction; for a pool, of whoever asks.
    pub fn span(&self) -> Span {
        match &self.source {
            Source::Held(span) => span.clone(),
            _ => Span::current(),
        }
    }

    /// Counts who finds every connection in use.
    fn note_wait(&self) {
        if let Some(pool) = self.pool()
            && pool.used >= pool.most
        {
            metrics::counter!("countersign_db_waits_total", "pool" => pool.name).increment(1);
        }
    }

    fn statement(&self, text: &str) -> Span {
        self.note_wait();
        let system = match self.inner.get_database_backend() {
            DbBackend::Postgres => "postgresql",
            _ => "sqlite",
        };
        let parent = self.span();
        within(&parent, || {
            debug_span!(
                parent: &parent,
                "statement",
                otel.kind = "client",
                otel.status_code = Empty,
                db.system.name = system,
                db.query.text = &text[..text.floor_char_boundary(TEXT)],
                db.response.returned_rows = Empty,
            )
        })
    }
}

/// A span inside of `parent`, where there is one: what nobody asked for (a look for jobs, a stream that
/// many share) would be a trace of its own twice a second.
fn within(parent: &Span, span: impl FnOnce() -> Span) -> Span {
    if parent.is_disabled() { Span::none() } else { span() }
}

/// Waits for the answer to a statement, and says how many rows it has.
async fn told<T>(
    span: Span,
    answer: impl Future<Output = Result<T, DbErr>> + Send,
    rows: impl Fn(&T) -> u64 + Send,
) -> Result<T, DbErr> {
    let began = Instant::now();
    let answer = answer.instrument(span.clone()).await;
    tally::add(began.elapsed());
    metrics::counter!("countersign_db_statements_total").increment(1);
    match &answer {
        Ok(_) if span.is_disabled() => {}
        Ok(answer) => drop(span.record("db.response.returned_rows", rows(answer))),
        // Not the error itself: a database names the values that it does not like.
        Err(_) => drop(span.record("otel.status_code", "ERROR")),
    }
    answer
}

/// Reads in a task of its own. SQLite's thread hands rows over one by one, and each wakes whoever waits:
/// a task that does nothing else costs less to wake than a request with all that surrounds it.
async fn apart<T: Send + 'static>(
    reading: impl Future<Output = Result<T, DbErr>> + Send + 'static,
    span: Span,
) -> Result<T, DbErr> {
    let reading = AbortOnDropHandle::new(tokio::spawn(reading.instrument(span)));
    reading.await.unwrap_or_else(|failed| match failed.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(ended) => Err(DbErr::Custom(ended.to_string())),
    })
}

impl Conn<DatabaseConnection> {
    /// Reads rows, each by `read` as soon as it is there: the database finds the next ones meanwhile. So the
    /// time that is told of such a statement is that of reading its rows too.
    pub async fn read_each<T: Send + 'static>(
        &self,
        statement: Statement,
        read: fn(&QueryResult) -> Result<T>,
    ) -> Result<Vec<T>> {
        let span = self.statement(&statement.sql);
        let pool = self.inner.clone();
        let reading = async move {
            let rows = pool.stream_raw(statement).await?;
            rows.map_ok(|row| read(&row)).try_collect::<Vec<Result<T>>>().await
        };
        let read = told(span.clone(), apart(reading, span), |rows| rows.len() as u64).await?;
        read.into_iter().collect()
    }
}

#[async_trait]
impl<C: ConnectionTrait + Send> ConnectionTrait for Conn<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let span = self.statement(&statement.sql);
        told(span, self.inner.execute_raw(statement), ExecResult::rows_affected).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        told(self.statement(sql), self.inner.execute_unprepared(sql), ExecResult::rows_affected).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let span = self.statement(&statement.sql);
        told(span, self.inner.query_one_raw(statement), |row| u64::from(row.is_some())).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let span = self.statement(&statement.sql);
        let rows = |rows: &Vec<QueryResult>| rows.len() as u64;
        match &self.source {
            Source::Sqlite(_, pool) => {
                let pool = pool.clone();
                let reading = async move { pool.query_all_raw(statement).await };
                told(span.clone(), apart(reading, span), rows).await
            }
            _ => told(span, self.inner.query_all_raw(statement), rows).await,
        }
    }
}
