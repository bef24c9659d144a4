//! The rows of approvals and their votes.

use std::collections::HashMap;

use entity::{approval, approval_vote};
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::rights::Voices;
use super::state::{Hand, Vote};
use super::{Approval, ApprovalFilter, BlastRadius, Emergency, Review, Stage, Subject, Terms};
use crate::access::Scope;
use crate::error::{Error, Result};
use crate::page::{Key, KeyKind, Page, PageArgs, Sort, Window};
use crate::store::bulk::{Column, Rows, Type};
use crate::store::column::{read_term, write_term};
use crate::store::page::{key_columns, page};
use crate::store::sql::Sql;
use crate::store::{Db, Tx};
use crate::vocabulary::criteria::sql::Dialect;
use crate::vocabulary::terms::Term;
use crate::vocabulary::time::{Span, Timestamp};

const NEWEST: Sort = Sort::new(
    "newest",
    &[Key::new("a.created_at", KeyKind::Int).descending(), Key::new("a.id", KeyKind::Uuid).descending()],
);

const COLUMNS: &[Column] = &[
    ("id", Type::Uuid),
    ("company_id", Type::Uuid),
    ("subject_kind", Type::Int),
    ("subject_id", Type::Uuid),
    ("stage", Type::Int),
    ("title", Type::Text),
    ("reasons", Type::Text),
    ("content", Type::Text),
    ("content_hash", Type::Text),
    ("diff", Type::Text),
    ("blast_count", Type::BigInt),
    ("blast_share", Type::Double),
    ("blast_at", Type::BigInt),
    ("author_id", Type::Uuid),
    ("author_person", Type::Uuid),
    ("editor_id", Type::Uuid),
    ("editor_person", Type::Uuid),
    ("required", Type::Int),
    ("remind_at", Type::BigInt),
    ("reminded_at", Type::BigInt),
    ("deadline_at", Type::BigInt),
    ("decided_at", Type::BigInt),
    ("decided_by", Type::Uuid),
    ("reason", Type::Text),
    ("emergency_until", Type::BigInt),
    ("reviewed_at", Type::BigInt),
    ("reviewed_by", Type::Uuid),
    ("upheld", Type::Bool),
    ("created_at", Type::BigInt),
    ("updated_at", Type::BigInt),
    ("version", Type::BigInt),
];

/// What changes of an approval once it is there.
const CHANGING: &[&str] = &[
    "stage",
    "blast_count",
    "blast_share",
    "blast_at",
    "reminded_at",
    "decided_at",
    "decided_by",
    "reason",
    "emergency_until",
    "reviewed_at",
    "reviewed_by",
    "upheld",
    "updated_at",
    "version",
];

fn rows(approval: &Approval) -> Rows {
    let review = approval.emergency.and_then(|emergency| emergency.review);
    let time = |at: Option<Timestamp>| at.map(|at| at.0);
    let mut rows = Rows::new(COLUMNS, 1);
    rows.push([
        approval.id.into(),
        approval.company.into(),
        write_term(approval.subject.kind()).into(),
        approval.subject.id().into(),
        write_term(approval.stage).into(),
        approval.title.as_str().into(),
        serde_json::json!(approval.reasons).to_string().into(),
        approval.content.to_string().into(),
        approval.content_hash.as_str().into(),
        approval.diff.to_string().into(),
        approval.blast.count.into(),
        approval.blast.share.into(),
        approval.blast.as_of.0.into(),
        approval.author.id.into(),
        approval.author.person.into(),
        approval.editor.id.into(),
        approval.editor.person.into(),
        i32::try_from(approval.required).unwrap_or(i32::MAX).into(),
        time(approval.remind_at).into(),
        time(approval.reminded_at).into(),
        time(approval.deadline).into(),
        time(approval.decided_at).into(),
        approval.decided_by.into(),
        approval.reason.clone().into(),
        time(approval.emergency.map(|emergency| emergency.until)).into(),
        time(review.map(|review| review.at)).into(),
        review.map(|review| review.by).into(),
        review.map(|review| review.upheld).into(),
        approval.created_at.0.into(),
        approval.updated_at.0.into(),
        approval.version.into(),
    ]);
    rows
}

fn read(row: &QueryResult) -> Result<Approval> {
    let row = approval::Model::from_query_result(row, "")?;
    let json = |text: &str| serde_json::from_str(text).map_err(Error::internal);
    let review = match (row.reviewed_by, row.reviewed_at, row.upheld) {
        (Some(by), Some(at), Some(upheld)) => Some(Review { by, at: Timestamp(at), upheld }),
        _ => None,
    };
    Ok(Approval {
        id: row.id,
        company: row.company_id,
        subject: Subject::new(read_term(row.subject_kind)?, row.subject_id),
        stage: read_term(row.stage)?,
        title: row.title,
        reasons: serde_json::from_str(&row.reasons).map_err(Error::internal)?,
        content: json(&row.content)?,
        content_hash: row.content_hash,
        diff: json(&row.diff)?,
        blast: BlastRadius { count: row.blast_count, share: row.blast_share, as_of: Timestamp(row.blast_at) },
        author: Hand { id: row.author_id, person: row.author_person },
        editor: Hand { id: row.editor_id, person: row.editor_person },
        required: usize::try_from(row.required).unwrap_or(1),
        votes: Vec::new(),
        remind_at: row.remind_at.map(Timestamp),
        reminded_at: row.reminded_at.map(Timestamp),
        deadline: row.deadline_at.map(Timestamp),
        decided_at: row.decided_at.map(Timestamp),
        decided_by: row.decided_by,
        reason: row.reason,
        emergency: row.emergency_until.map(|until| Emergency { until: Timestamp(until), review }),
        created_at: Timestamp(row.created_at),
        updated_at: Timestamp(row.updated_at),
        version: row.version,
    })
}

fn read_vote(row: &QueryResult) -> Result<(Uuid, Vote)> {
    let row = approval_vote::Model::from_query_result(row, "")?;
    let hand = Hand { id: row.voter_id, person: row.voter_person };
    Ok((row.approval_id, Vote { hand, voice: row.voice, comment: row.comment, at: Timestamp(row.at) }))
}

/// The approvals of the scope's company, or of them those that `reader` asked for.
fn select(dialect: Dialect, scope: &Scope, reader: Option<Uuid>, columns: &str) -> Sql {
    let sql = Sql::new(dialect, "SELECT ").push(columns).push(" FROM approval AS a WHERE 1 = 1");
    let sql = sql.own(scope, "a");
    match reader {
        Some(reader) => sql
            .push(" AND (a.author_person = ")
            .bind(reader)
            .push(" OR a.editor_person = ")
            .bind(reader)
            .push(")"),
        None => sql,
    }
}

fn matching(sql: Sql, filter: &ApprovalFilter, (voices, hand): (&Voices, Hand)) -> Sql {
    let mut sql = sql;
    if !filter.stages.is_empty() {
        sql = sql.push(" AND ").one_of_terms("a.stage", &filter.stages);
    }
    if !filter.kinds.is_empty() {
        sql = sql.push(" AND ").one_of_terms("a.subject_kind", &filter.kinds);
    }
    if let Some(subject) = filter.subject {
        sql = sql.push(" AND a.subject_id = ").bind(subject);
    }
    if filter.unreviewed {
        sql = sql.push(" AND a.emergency_until IS NOT NULL AND a.reviewed_at IS NULL");
    }
    if filter.for_me {
        sql = awaits(sql, voices, hand);
    }
    sql
}

/// The approval waits, and one of the voices may be given to it by this hand.
fn awaits(sql: Sql, voices: &Voices, hand: Hand) -> Sql {
    let mut sql = sql
        .push(" AND a.stage = ")
        .push(&Stage::Pending.code().to_string())
        .push(" AND NOT EXISTS (SELECT 1 FROM approval_vote AS v WHERE v.approval_id = a.id AND v.voter_person = ")
        .bind(hand.person)
        .push(") AND (1 = 0");
    for voice in &voices.0 {
        sql = sql.push(" OR (");
        for (at, wrote) in [hand.person, hand.id, *voice].into_iter().enumerate() {
            for column in ["a.author_person", "a.author_id", "a.editor_person", "a.editor_id"] {
                let and = if at == 0 && column == "a.author_person" { "" } else { " AND " };
                sql = sql.push(and).push(column).push(" <> ").bind(wrote);
            }
        }
        sql = sql
            .push(
                " AND NOT EXISTS (SELECT 1 FROM approval_vote AS v WHERE v.approval_id = a.id AND v.voice = ",
            )
            .bind(*voice)
            .push("))");
    }
    sql.push(")")
}

/// Puts their votes to approvals, the first vote first.
async fn with_votes(
    conn: &impl ConnectionTrait,
    dialect: Dialect,
    scope: &Scope,
    approvals: &mut [&mut Approval],
) -> Result<()> {
    if approvals.is_empty() {
        return Ok(());
    }
    let rows = Sql::new(dialect, "SELECT v.* FROM approval_vote AS v WHERE ")
        .one_of("v.approval_id", approvals.iter().map(|approval| approval.id))
        .own(scope, "v")
        .push(" ORDER BY v.at, v.voice")
        .all(conn)
        .await?;
    let mut votes: HashMap<Uuid, Vec<Vote>> = HashMap::new();
    for row in &rows {
        let (approval, vote) = read_vote(row)?;
        votes.entry(approval).or_default().push(vote);
    }
    for approval in approvals {
        approval.votes = votes.remove(&approval.id).unwrap_or_default();
    }
    Ok(())
}

impl Db {
    pub(super) async fn approvals_by_id(
        &self,
        scope: &Scope,
        reader: Option<Uuid>,
        ids: &[Uuid],
    ) -> Result<Vec<Approval>> {
        let sql =
            select(self.dialect, scope, reader, "a.*").push(" AND ").one_of("a.id", ids.iter().copied());
        let rows = sql.all(self.read()).await?;
        let mut found = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        with_votes(self.read(), self.dialect, scope, &mut found.iter_mut().collect::<Vec<_>>()).await?;
        Ok(found)
    }

    pub(super) async fn approvals(
        &self,
        scope: &Scope,
        reader: Option<Uuid>,
        filter: &ApprovalFilter,
        me: (&Voices, Hand),
        args: &PageArgs,
    ) -> Result<Page<Approval>> {
        let window = Window::new(args, NEWEST)?;
        let columns = format!("a.*{}", key_columns(&NEWEST));
        let sql = matching(select(self.dialect, scope, reader, &columns), filter, me).window(&window);
        let mut found = page(&window, &sql.all(self.read()).await?, read)?;
        let mut approvals: Vec<&mut Approval> = found.edges.iter_mut().map(|edge| &mut edge.node).collect();
        with_votes(self.read(), self.dialect, scope, &mut approvals).await?;
        Ok(found)
    }

    pub(super) async fn approval_count(
        &self,
        scope: &Scope,
        reader: Option<Uuid>,
        filter: &ApprovalFilter,
        me: (&Voices, Hand),
    ) -> Result<i64> {
        matching(select(self.dialect, scope, reader, "COUNT(*) AS n"), filter, me).count(self.read()).await
    }

    /// Some of the approvals that wait and whose reminder is due, or that nobody decided in time: the
    /// company and id of each.
    pub(super) async fn approvals_due(
        &self,
        scope: &Scope,
        now: Timestamp,
        over: bool,
    ) -> Result<Vec<(Uuid, Uuid)>> {
        debug_assert_eq!(*scope, Scope::System);
        let due = if over { "deadline_at" } else { "reminded_at IS NULL AND remind_at" };
        let rows = Sql::new(self.dialect, "SELECT company_id, id FROM approval WHERE stage = 0 AND ")
            .push(due)
            .push(" <= ")
            .bind(now.0)
            .push(" ORDER BY created_at, id LIMIT 100")
            .all(self.read())
            .await?;
        rows.iter().map(|row| Ok((row.try_get("", "company_id")?, row.try_get("", "id")?))).collect()
    }
}

impl Tx {
    /// How the scope's company has things approved.
    pub(super) async fn approval_terms(&self, scope: &Scope) -> Result<Terms> {
        let policy = self.policy_in_force(scope).await?;
        let hours = |hours: i32| Span::HOUR.times(hours.into());
        Ok(Terms {
            quorum: usize::try_from(policy.quorum).unwrap_or(1),
            remind_after: hours(policy.reminder_hours),
            end_after: hours(policy.deadline_hours),
        })
    }

    /// What waits about a subject of the company.
    pub(crate) async fn pending_approval_of(&self, subject: Subject) -> Result<Option<Uuid>> {
        let sql =
            Sql::new(self.dialect, "SELECT a.id FROM approval AS a WHERE a.stage = 0 AND a.company_id = ")
                .bind(self.company)
                .push(" AND a.subject_id = ")
                .bind(subject.id())
                .push(" AND a.subject_kind = ")
                .bind(write_term(subject.kind()));
        let row = sql.push(" ORDER BY a.created_at DESC LIMIT 1").one(self.conn()).await?;
        row.map(|row| Ok(row.try_get("", "id")?)).transpose()
    }

    pub(super) async fn insert_approval(&self, approval: &Approval) -> Result<()> {
        rows(approval).insert(self.conn(), self.dialect, "approval", "").await?;
        Ok(())
    }

    pub(super) async fn update_approval(&self, approval: &Approval) -> Result<()> {
        rows(approval).update(self.conn(), self.dialect, "approval", CHANGING, "").await?;
        Ok(())
    }

    /// An approval of the transaction's company, with its votes, held.
    pub(super) async fn approval_to_change(&self, id: Uuid) -> Result<Option<Approval>> {
        let sql = Sql::new(self.dialect, "SELECT a.* FROM approval AS a WHERE a.company_id = ")
            .bind(self.company)
            .push(" AND a.id = ")
            .bind(id)
            .locked();
        let Some(row) = sql.one(self.conn()).await? else { return Ok(None) };
        let mut approval = read(&row)?;
        let scope = crate::signin::session::scope_of(self.company);
        with_votes(self.conn(), self.dialect, &scope, &mut [&mut approval]).await?;
        Ok(Some(approval))
    }

    /// Where an approval stands.
    pub(crate) async fn approval_stage(&self, scope: &Scope, id: Option<Uuid>) -> Result<Option<Stage>> {
        let Some(id) = id else { return Ok(None) };
        let sql = select(self.dialect, scope, None, "a.stage").push(" AND a.id = ").bind(id);
        let row = sql.one(self.conn()).await?;
        row.map(|row| read_term(row.try_get("", "stage")?)).transpose()
    }

    pub(super) async fn insert_vote(&self, approval: &Approval, vote: &Vote) -> Result<()> {
        const VOTE: &[Column] = &[
            ("approval_id", Type::Uuid),
            ("voice", Type::Uuid),
            ("company_id", Type::Uuid),
            ("voter_id", Type::Uuid),
            ("voter_person", Type::Uuid),
            ("comment", Type::Text),
            ("at", Type::BigInt),
        ];
        let mut rows = Rows::new(VOTE, 1);
        rows.push([
            approval.id.into(),
            vote.voice.into(),
            approval.company.into(),
            vote.hand.id.into(),
            vote.hand.person.into(),
            vote.comment.clone().into(),
            vote.at.0.into(),
        ]);
        rows.insert(self.conn(), self.dialect, "approval_vote", "").await?;
        Ok(())
    }
}
