//! What stood, table by table: which rows, and how each column is read. Pure.

use crate::access::Role;
use crate::approval::{Stage, SubjectKind};
use crate::page::{Key, KeyKind, Sort};
use crate::rule::pass::Mode;
use crate::rule::revoke::RevokeOutcome;
use crate::store::sql::Sql;
use crate::vocabulary::terms::{Status, Term};
use crate::vocabulary::time::Timestamp;

/// How a column is read.
#[derive(Clone, Copy)]
pub enum Kind {
    Id,
    Text,
    Number,
    Share,
    Flag,
    Time,
    /// One of these, by its number.
    Word(&'static [&'static str]),
    Json,
}

/// A column: where it comes from, and how it is read.
pub struct Cell {
    pub of: &'static str,
    pub kind: Kind,
}

/// Rows that stood, of one company.
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Cell)],
    pub from: &'static str,
    /// The table in `from` whose company is asked.
    pub alias: &'static str,
    pub order: Sort,
    /// Adds which rows belong to a period.
    pub holds: fn(Sql, (Timestamp, Timestamp)) -> Sql,
}

const fn cell(name: &'static str, of: &'static str, kind: Kind) -> (&'static str, Cell) {
    (name, Cell { of, kind })
}

/// What had gone live of a rule before `to`, last.
fn live_at(sql: Sql, (_, to): (Timestamp, Timestamp)) -> Sql {
    sql.push(" AND v.live AND v.created_at < ")
        .bind(to.0)
        .push(
            " AND NOT EXISTS (SELECT 1 FROM rule_version AS later WHERE later.rule_id = v.rule_id AND later.live \
             AND later.version > v.version AND later.created_at < ",
        )
        .bind(to.0)
        .push(")")
}

fn version_in(sql: Sql, (from, to): (Timestamp, Timestamp)) -> Sql {
    sql.push(" AND v.created_at >= ").bind(from.0).push(" AND v.created_at < ").bind(to.0)
}

/// Asked for before the end, and not decided before the beginning.
fn approval_in(sql: Sql, (from, to): (Timestamp, Timestamp)) -> Sql {
    sql.push(" AND a.created_at < ")
        .bind(to.0)
        .push(" AND (a.decided_at IS NULL OR a.decided_at >= ")
        .bind(from.0)
        .push(")")
}

fn voted_in(sql: Sql, (from, to): (Timestamp, Timestamp)) -> Sql {
    sql.push(" AND v.at >= ").bind(from.0).push(" AND v.at < ").bind(to.0)
}

fn revoked_in(sql: Sql, (from, to): (Timestamp, Timestamp)) -> Sql {
    sql.push(" AND j.created_at >= ").bind(from.0).push(" AND j.created_at < ").bind(to.0)
}

/// Whatever stands when the archive is made.
fn now(sql: Sql, _: (Timestamp, Timestamp)) -> Sql {
    sql
}

fn is_accepted(sql: Sql, _: (Timestamp, Timestamp)) -> Sql {
    sql.push(" AND f.status = ").bind(i32::from(Status::AcceptedRisk.code()))
}

const VERSION: &[(&str, Cell)] = &[
    cell("rule", "v.rule_id", Kind::Id),
    cell("key", "r.key", Kind::Text),
    cell("version", "v.version", Kind::Number),
    cell("live", "v.live", Kind::Flag),
    cell("content_hash", "v.content_hash", Kind::Text),
    cell("approval", "v.approval_id", Kind::Id),
    cell("author", "v.author_id", Kind::Id),
    cell("made_at", "v.created_at", Kind::Time),
    cell("mode_now", "r.mode", Kind::Word(Mode::WORDS)),
    cell("archived_at", "r.archived_at", Kind::Time),
    cell("content", "v.content", Kind::Json),
];
const OF_VERSIONS: &str = "rule_version AS v JOIN rule AS r ON r.id = v.rule_id";
const BY_RULE: Sort =
    Sort::new("version", &[Key::new("v.rule_id", KeyKind::Uuid), Key::new("v.version", KeyKind::Int)]);

pub const TABLES: &[Table] = &[
    // The rules as they stood at the end of the period.
    Table { name: "rules", columns: VERSION, from: OF_VERSIONS, alias: "v", order: BY_RULE, holds: live_at },
    Table {
        name: "rule_versions",
        columns: VERSION,
        from: OF_VERSIONS,
        alias: "v",
        order: BY_RULE,
        holds: version_in,
    },
    Table {
        name: "approval_requests",
        columns: &[
            cell("approval", "a.id", Kind::Id),
            cell("subject_kind", "a.subject_kind", Kind::Word(SubjectKind::WORDS)),
            cell("subject", "a.subject_id", Kind::Id),
            cell("stage", "a.stage", Kind::Word(Stage::WORDS)),
            cell("title", "a.title", Kind::Text),
            cell("reasons", "a.reasons", Kind::Json),
            cell("content_hash", "a.content_hash", Kind::Text),
            cell("diff", "a.diff", Kind::Json),
            cell("blast_radius_count", "a.blast_count", Kind::Number),
            cell("blast_radius_share", "a.blast_share", Kind::Share),
            cell("blast_radius_at", "a.blast_at", Kind::Time),
            cell("author", "a.author_id", Kind::Id),
            cell("editor", "a.editor_id", Kind::Id),
            cell("required", "CAST(a.required AS BIGINT)", Kind::Number),
            cell("asked_at", "a.created_at", Kind::Time),
            cell("decided_at", "a.decided_at", Kind::Time),
            cell("decided_by", "a.decided_by", Kind::Id),
            cell("reason", "a.reason", Kind::Text),
            cell("emergency_until", "a.emergency_until", Kind::Time),
            cell("reviewed_at", "a.reviewed_at", Kind::Time),
            cell("reviewed_by", "a.reviewed_by", Kind::Id),
            cell("upheld", "a.upheld", Kind::Flag),
            cell("content", "a.content", Kind::Json),
        ],
        from: "approval AS a",
        alias: "a",
        order: Sort::new("approval", &[Key::new("a.id", KeyKind::Uuid)]),
        holds: approval_in,
    },
    Table {
        name: "approval_votes",
        columns: &[
            cell("approval", "v.approval_id", Kind::Id),
            cell("voice", "v.voice", Kind::Id),
            cell("voter", "v.voter_id", Kind::Id),
            cell("comment", "v.comment", Kind::Text),
            cell("at", "v.at", Kind::Time),
        ],
        from: "approval_vote AS v",
        alias: "v",
        order: Sort::new(
            "vote",
            &[Key::new("v.approval_id", KeyKind::Uuid), Key::new("v.voice", KeyKind::Uuid)],
        ),
        holds: voted_in,
    },
    // Findings whose risk is borne when the archive is made.
    Table {
        name: "accepted_risks",
        columns: &[
            cell("finding", "f.id", Kind::Id),
            cell("title", "f.title", Kind::Text),
            cell("project", "f.project_id", Kind::Id),
            cell("asset", "f.asset_id", Kind::Id),
            cell("cve_ids", "CAST(f.cve_ids AS TEXT)", Kind::Json),
            cell("layers", "f.layers", Kind::Json),
            cell("closed_at", "f.closed_at", Kind::Time),
        ],
        from: "finding AS f",
        alias: "f",
        order: Sort::new("finding", &[Key::new("f.id", KeyKind::Uuid)]),
        holds: is_accepted,
    },
    // Findings of which rules do not speak when the archive is made.
    Table {
        name: "exemptions",
        columns: &[
            cell("exemption", "x.id", Kind::Id),
            cell("rule", "x.rule_id", Kind::Id),
            cell("finding", "x.finding_id", Kind::Id),
            cell("content_hash", "x.content_hash", Kind::Text),
            cell("revoke", "x.job_id", Kind::Id),
            cell("author", "x.author_id", Kind::Id),
            cell("made_at", "x.created_at", Kind::Time),
        ],
        from: "rule_exemption AS x",
        alias: "x",
        order: Sort::new("exemption", &[Key::new("x.id", KeyKind::Uuid)]),
        holds: now,
    },
    Table {
        name: "revoke_outcomes",
        columns: &[
            cell("revoke", "o.job_id", Kind::Id),
            cell("place", "o.place", Kind::Number),
            cell("finding", "o.finding_id", Kind::Id),
            cell("application", "o.application", Kind::Number),
            cell("outcome", "o.outcome", Kind::Word(RevokeOutcome::WORDS)),
            cell("restored", "o.restored", Kind::Json),
            cell("conflicts", "o.conflicts", Kind::Json),
        ],
        from: "revoke_outcome AS o JOIN job AS j ON j.id = o.job_id",
        alias: "o",
        order: Sort::new(
            "outcome",
            &[Key::new("o.job_id", KeyKind::Uuid), Key::new("o.place", KeyKind::Int)],
        ),
        holds: revoked_in,
    },
    // Members and their roles when the archive is made; how they came to them is among the entries.
    Table {
        name: "members",
        columns: &[
            cell("membership", "m.id", Kind::Id),
            cell("user", "m.user_id", Kind::Id),
            cell("name", "u.name", Kind::Text),
            cell("email", "u.email", Kind::Text),
            cell("role", "m.role", Kind::Word(Role::WORDS)),
            cell("portfolio", "m.portfolio", Kind::Json),
            cell("since", "m.created_at", Kind::Time),
            cell("changed_at", "m.updated_at", Kind::Time),
        ],
        from: "membership AS m JOIN user_account AS u ON u.id = m.user_id",
        alias: "m",
        order: Sort::new("membership", &[Key::new("m.id", KeyKind::Uuid)]),
        holds: now,
    },
];
