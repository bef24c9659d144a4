//! The two databases behind one door: pools, transactions, and the SQL that both understand.
//!
//! SQLite has one writer, whose transactions begin IMMEDIATE (a deferred one that reads before it
//! writes fails at once when another wrote meanwhile), and a pool of readers that cannot write.
//! PostgreSQL has two pools as well, so that long reads can be ended by themselves. A function that
//! holds a [`Tx`] takes no [`Db`]: asking a pool of one for a second connection waits for ever.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr, SqlErr, SqliteTransactionMode,
    TransactionOptions,
};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::access::{Actor, GLOBAL, Idempotency, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::Event;
use crate::ledger::store::{Pending, Sealed};
use crate::ledger::{AuditEntry, Speaker};
use crate::store::conn::{Conn, Pool, Transaction};
use crate::store::idempotency::Caller;
use crate::store::sql::Sql;
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::time::Timestamp;

pub mod bulk;
pub mod column;
pub mod conn;
pub mod idempotency;
pub mod page;
pub mod scope;
pub mod sql;
pub mod tally;

/// The longest that a statement of the readers may take: as long as a request may. It is ended by the
/// database, so that a request that was given up does not go on there.
pub const STATEMENT_TIME: Duration = Duration::from_secs(30);
/// Steps of SQLite's machine between two looks at the time, about a millisecond.
const STEPS: i32 = 100_000;
/// How many companies' news a slow listener may be behind before it is told only that it lags.
const NEWS: usize = 1_024;

/// The database, open for reading and writing.
#[derive(Clone)]
pub struct Db {
    pub(crate) dialect: Dialect,
    writer: Conn<DatabaseConnection>,
    reader: Conn<DatabaseConnection>,
    /// What jobs read from: no request waits for them, and their statements take the time they take.
    jobs: Conn<DatabaseConnection>,
    news: broadcast::Sender<Uuid>,
}

tokio::task_local! {
    /// Set while a job is worked on.
    static AT_WORK: ();
}

/// Work on a job: what it reads has no limit of time.
pub(crate) async fn at_work<F: Future>(work: F) -> F::Output {
    AT_WORK.scope((), work).await
}

impl Db {
    /// Opens `sqlite:FILE` (made if missing) or `postgres://…`. Nothing is migrated.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_within(url, STATEMENT_TIME).await
    }

    /// The same, where a statement that reads may take no longer than `time`. What jobs read, and what
    /// is read inside of a transaction that writes, has no such limit.
    pub async fn open_within(url: &str, time: Duration) -> Result<Self> {
        let news = broadcast::Sender::new(NEWS);
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let mut options = ConnectOptions::new(url);
            options.max_connections(10).acquire_timeout(Duration::from_secs(30)).sqlx_logging(false);
            let writer = Conn::postgres(Database::connect(options.clone()).await?, "writer");
            let options = options.statement_timeout(time).clone();
            let reader = Conn::postgres(Database::connect(options).await?, "reader");
            return Ok(Self { dialect: Dialect::Postgres, jobs: writer.clone(), writer, reader, news });
        }
        if !url.starts_with("sqlite:") {
            return Err(Error::invalid("database", "The database is named by sqlite:FILE or postgres://…"));
        }
        let writer = Conn::sqlite(Database::connect(sqlite(url, 1, false)).await?, "writer");
        let jobs = Conn::sqlite(Database::connect(sqlite(url, 8, true)).await?, "reader");
        let mut reader = sqlite(url, 8, true);
        limit(&mut reader, time);
        let reader = Conn::sqlite(Database::connect(reader).await?, "reader");
        Ok(Self { dialect: Dialect::Sqlite, writer, reader, jobs, news })
    }

    /// Brings the tables up to this release, and makes the global company. Servers that start
    /// together on one PostgreSQL take turns.
    pub async fn migrate(&self) -> Result<()> {
        use migration::MigratorTrait;

        let turn = match self.dialect {
            Dialect::Sqlite => None,
            Dialect::Postgres => {
                let turn = self.writer.begin(TransactionOptions::default()).await?;
                Sql::new(self.dialect, "SELECT pg_advisory_xact_lock(4207)").run(&turn).await?;
                Some(turn)
            }
        };
        migration::Migrator::up(self.writer.inner(), None).await?;
        Sql::new(self.dialect, "INSERT INTO company (id, name, created_at, updated_at, version) VALUES (")
            .bind(GLOBAL)
            .push(", 'Global', 0, 0, 1) ON CONFLICT DO NOTHING")
            .run(&self.writer)
            .await?;
        crate::ledger::store::open(&self.writer, self.dialect, GLOBAL).await?;
        if let Some(turn) = turn {
            turn.commit().await?;
        }
        Ok(())
    }

    /// A connection to read from, outside of any transaction.
    pub(crate) fn read(&self) -> &Conn<DatabaseConnection> {
        if AT_WORK.try_with(|()| ()).is_ok() { &self.jobs } else { &self.reader }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.reader.inner().ping().await?;
        Ok(())
    }

    /// The pools, as they stand.
    pub fn pools(&self) -> impl Iterator<Item = Pool> {
        self.writer.pool().into_iter().chain(self.reader.pool())
    }

    /// Begins a transaction in which `actor` writes for the company of `scope`.
    pub(crate) async fn begin(&self, actor: &Actor, scope: &Scope, now: Timestamp) -> Result<Tx> {
        let pending = Pending::new(scope.company()?, Speaker::of(actor), now);
        let tx = self.begin_with(scope, pending).await?;
        let caller = Caller { company: actor.company, actor: actor.id };
        Ok(Tx { promise: actor.idempotency.clone().map(|key| (caller, key)), ..tx })
    }

    /// Begins a transaction that says what `pending` says.
    pub(crate) async fn begin_with(&self, scope: &Scope, pending: Pending) -> Result<Tx> {
        debug_assert_eq!(scope.company()?, pending.company);
        Ok(Tx {
            conn: self.transaction().await?,
            dialect: self.dialect,
            company: pending.company,
            pending,
            promise: None,
            answer: None,
            news: self.news.clone(),
        })
    }

    /// A transaction that writes no ledger: leases, progress, last use.
    pub(crate) async fn transaction(&self) -> Result<Transaction> {
        let mode = (self.dialect == Dialect::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() };
        Ok(self.writer.begin(options).await?)
    }

    /// The companies in which something was committed, as it happens in this process.
    pub fn news(&self) -> broadcast::Receiver<Uuid> {
        self.news.subscribe()
    }

    pub async fn close(self) -> Result<()> {
        self.reader.inner().clone().close().await?;
        self.jobs.inner().clone().close().await?;
        self.writer.inner().clone().close().await?;
        Ok(())
    }
}

fn sqlite(url: &str, connections: u32, read_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(60))
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = sqlite
                .create_if_missing(!read_only)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(30))
                .statement_cache_capacity(256)
                .pragma("temp_store", "MEMORY")
                // Fewer and larger than by default: pages that every chunk writes are copied once.
                .pragma("wal_autocheckpoint", "4096");
            // Pages that are not in these caches are in the system's. Mapped into memory they would
            // count once more for each connection.
            if read_only {
                sqlite.pragma("query_only", "ON").pragma("cache_size", "-8192")
            } else {
                sqlite.pragma("cache_size", "-32768")
            }
        });
    options
}

/// Ends every statement of these connections after `time`. Each statement takes its connection from
/// the pool for itself, so its time begins there.
fn limit(options: &mut ConnectOptions, time: Duration) {
    options
        // There is no network that an idle connection could have lost.
        .test_before_acquire(false)
        .map_sqlx_sqlite_pool_opts(move |pool| {
            pool.after_connect(move |connection, _| watch(connection, time).boxed())
        })
        .map_sqlx_sqlite_before_acquire(move |connection, _| {
            async move { watch(connection, time).await.map(|()| true) }.boxed()
        });
}

async fn watch(connection: &mut SqliteConnection, time: Duration) -> Result<(), sqlx::Error> {
    let end = Instant::now() + time;
    connection.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < end);
    Ok(())
}

/// A transaction that writes for one company. What it audits and emits is numbered and chained
/// as its last step, in [`Tx::commit`]; dropped without that, nothing happened.
pub(crate) struct Tx {
    conn: Transaction,
    pub dialect: Dialect,
    pub company: Uuid,
    pending: Pending,
    promise: Option<(Caller, Idempotency)>,
    answer: Option<Uuid>,
    news: broadcast::Sender<Uuid>,
}

impl Tx {
    pub fn conn(&self) -> &Transaction {
        &self.conn
    }

    pub fn now(&self) -> Timestamp {
        self.pending.at
    }

    /// What is to be said at the commit.
    pub fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    pub fn audit(&mut self, entry: AuditEntry) {
        self.pending.audit(entry);
    }

    pub fn emit(&mut self, event: Event) {
        self.pending.emit(event);
    }

    /// Names the record that a repeat of this request is answered with; otherwise it is the first
    /// one audited.
    pub fn answer(&mut self, record: Uuid) {
        self.answer = Some(record);
    }

    /// Tells every running pass that it read rules which no longer hold.
    pub fn rules_changed(&mut self) {
        self.pending.rules_changed = true;
    }

    /// Locks the company's ledger ahead of the commit: what others committed is seen from here on,
    /// and nobody else commits before this.
    pub async fn lock_ledger(&self) -> Result<()> {
        self.pending.lock(&self.conn, self.dialect).await
    }

    pub async fn commit(self) -> Result<Sealed> {
        self.keep_promise().await?;
        let sealed = self.pending.seal(&self.conn, self.dialect).await?;
        self.conn.commit().await?;
        let _nobody_listens = self.news.send(self.company);
        Ok(sealed)
    }

    /// Commits if the rules still are `version` (the company's and the global one); otherwise
    /// takes everything back and returns `None`.
    pub async fn commit_under(self, version: RulesVersion) -> Result<Option<Sealed>> {
        self.keep_promise().await?;
        let sealed = self.pending.seal_under(&self.conn, self.dialect, version).await?;
        match sealed {
            Some(sealed) => {
                self.conn.commit().await?;
                let _nobody_listens = self.news.send(self.company);
                Ok(Some(sealed))
            }
            None => {
                self.conn.rollback().await?;
                Ok(None)
            }
        }
    }
}

impl Tx {
    /// Stores the answer beside its effect, for a repeat of the request.
    async fn keep_promise(&self) -> Result<()> {
        let (Some((caller, promise)), Some(answer)) =
            (&self.promise, self.answer.or_else(|| self.pending.first_record()))
        else {
            return Ok(());
        };
        idempotency::store(self, *caller, promise, answer).await
    }
}

/// Which rules a pass read: the version of the company's set and of the global one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RulesVersion {
    pub own: i64,
    pub global: i64,
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return Self::new(Code::Taken, "There is already a record with this unique value.");
        }
        // PostgreSQL's canceled statement; SQLite's interrupted one.
        if code_of(&error).is_some_and(|code| code == "57014" || code == "9") {
            let message = "The database took too long to answer: ask for less.";
            return Self::new(Code::LimitExceeded, message).with("limit", "statementTime");
        }
        Self::internal(error)
    }
}

/// The code that the database itself gave.
fn code_of(error: &DbErr) -> Option<Cow<'_, str>> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error.as_database_error()?.code()
        }
        _ => None,
    }
}

/// Whether trying the whole transaction again may succeed: a deadlock, a serialization failure, a
/// busy database.
pub(crate) fn is_transient(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(code) = cause.downcast_ref::<DbErr>().and_then(code_of) {
            // PostgreSQL's serialization failure and deadlock; SQLite's busy and busy snapshot.
            return ["40001", "40P01", "5", "517"].contains(&&*code);
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_statement_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("a.db").display());
        let db = Db::open_within(&url, Duration::from_millis(30)).await.unwrap();
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";
        // A connection that is new, and one that is not.
        for _ in 0..2 {
            let error = Error::from(Sql::new(db.dialect, endless).one(db.read()).await.unwrap_err());
            assert_eq!((error.code, &error.details["limit"]), (Code::LimitExceeded, &"statementTime".into()));
            let row = Sql::new(db.dialect, "SELECT 1").one(db.read()).await.unwrap();
            assert!(row.is_some(), "the next one has its own time");
        }
    }
}
