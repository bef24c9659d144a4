//! What stood, table by table: which rows, and how each column is read. Pure.

use crate::access::Role;
use crate::approval::{Stage, SubjectKind};
use crate::evidence::past::{MEMBERSHIP, SERVICE_ACCOUNT};
use crate::finding::acceptance::AcceptanceEnd;
use crate::finding::request::{ItemOutcome, RequestState};
use crate::page::{Key, KeyKind, Sort};
use crate::rule::exemption::ExemptionEnd;
use crate::rule::exemption::store::EVER;
use crate::rule::pass::Mode;
use crate::rule::revoke::RevokeOutcome;
use crate::store::sql::Sql;
use crate::vocabulary::terms::Term;
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

fn approval_in(sql: Sql, period: (Timestamp, Timestamp)) -> Sql {
    stood_in(sql, period, "a.created_at", "a.decided_at")
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

/// Begun before the end, and not ended before the beginning.
fn stood_in(sql: Sql, (from, to): (Timestamp, Timestamp), began: &str, ended: &str) -> Sql {
    sql.push(&format!(" AND {began} < "))
        .bind(to.0)
        .push(&format!(" AND ({ended} IS NULL OR {ended} >= "))
        .bind(from.0)
        .push(")")
}

fn accepted_in(sql: Sql, period: (Timestamp, Timestamp)) -> Sql {
    stood_in(sql, period, "a.accepted_at", "a.ended_at")
}

fn exempt_in(sql: Sql, period: (Timestamp, Timestamp)) -> Sql {
    stood_in(sql, period, "x.created_at", "x.ended_at")
}

fn requested_in(sql: Sql, period: (Timestamp, Timestamp)) -> Sql {
    stood_in(sql, period, "c.created_at", "c.ended_at")
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
    // Risks that people bore, with what became of them.
    Table {
        name: "accepted_risks",
        columns: &[
            cell("acceptance", "a.id", Kind::Id),
            cell("finding", "a.finding_id", Kind::Id),
            cell("title", "f.title", Kind::Text),
            cell("reason", "a.reason", Kind::Text),
            cell("reference", "a.reference", Kind::Text),
            cell("owner", "a.owner_id", Kind::Id),
            cell("until", "a.until", Kind::Time),
            cell("accepted_at", "a.accepted_at", Kind::Time),
            cell("accepted_by", "a.accepted_by", Kind::Id),
            cell("request", "a.request_id", Kind::Id),
            cell("warned_at", "a.warned_at", Kind::Time),
            cell("ended_at", "a.ended_at", Kind::Time),
            cell("ended_how", "a.ended_how", Kind::Word(AcceptanceEnd::WORDS)),
        ],
        from: "acceptance AS a LEFT JOIN finding AS f ON f.id = a.finding_id AND f.company_id = a.company_id",
        alias: "a",
        order: Sort::new("acceptance", &[Key::new("a.id", KeyKind::Uuid)]),
        holds: accepted_in,
    },
    // Findings of which rules did not speak: since when, by whom, and until when.
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
            // The rule speaks again where another version is live.
            cell(
                "rule_changed_at",
                "(SELECT MIN(v.created_at) FROM rule_version AS v WHERE v.rule_id = x.rule_id AND v.live \
                 AND v.created_at >= x.created_at AND v.content_hash <> x.content_hash)",
                Kind::Time,
            ),
            cell("ended_at", "x.ended_at", Kind::Time),
            cell("ended_by", "x.ended_by", Kind::Id),
            cell("ended_how", "x.ended_how", Kind::Word(ExemptionEnd::WORDS)),
        ],
        from: EVER,
        alias: "x",
        order: Sort::new("exemption", &[Key::new("x.id", KeyKind::Uuid)]),
        holds: exempt_in,
    },
    // Changes that waited for a second person, and what became of each finding.
    Table {
        name: "change_requests",
        columns: &[
            cell("request", "c.id", Kind::Id),
            cell("edit", "c.edit", Kind::Json),
            cell("gates", "c.gates", Kind::Json),
            cell("author", "c.author_id", Kind::Id),
            cell("findings", "c.findings", Kind::Number),
            cell("active_findings", "c.touched", Kind::Number),
            cell("of_active_findings", "c.active", Kind::Number),
            cell("digest", "c.digest", Kind::Text),
            cell("state", "c.state", Kind::Word(RequestState::WORDS)),
            cell("approval", "c.approval_id", Kind::Id),
            cell("job", "c.job_id", Kind::Id),
            cell("asked_at", "c.created_at", Kind::Time),
            cell("ended_at", "c.ended_at", Kind::Time),
        ],
        from: "change_request AS c",
        alias: "c",
        order: Sort::new("request", &[Key::new("c.id", KeyKind::Uuid)]),
        holds: requested_in,
    },
    Table {
        name: "change_request_findings",
        columns: &[
            cell("request", "i.request_id", Kind::Id),
            cell("finding", "i.finding_id", Kind::Id),
            cell("before", "i.was", Kind::Json),
            cell("after", "i.becomes", Kind::Json),
            cell("outcome", "i.outcome", Kind::Word(ItemOutcome::WORDS)),
            cell("moved", "i.moved", Kind::Json),
        ],
        from: "change_request_item AS i JOIN change_request AS c ON c.id = i.request_id",
        alias: "i",
        order: Sort::new(
            "item",
            &[Key::new("i.request_id", KeyKind::Uuid), Key::new("i.finding_id", KeyKind::Uuid)],
        ),
        holds: requested_in,
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
];

/// What is traced back to the end of the period, as it is when the archive is made: each row with its id,
/// and what the audit keeps of such a record.
pub const STANDING: &[Table] = &[
    Table {
        name: MEMBERSHIP,
        columns: &[
            cell("id", "m.id", Kind::Id),
            cell("user", "m.user_id", Kind::Id),
            cell("role", "m.role", Kind::Word(Role::WORDS)),
            cell("portfolio", "m.portfolio", Kind::Json),
        ],
        from: "membership AS m",
        alias: "m",
        order: Sort::new("membership", &[Key::new("m.id", KeyKind::Uuid)]),
        holds: now,
    },
    Table {
        name: SERVICE_ACCOUNT,
        columns: &[
            cell("id", "s.id", Kind::Id),
            cell("name", "s.name", Kind::Text),
            cell("role", "s.role", Kind::Word(Role::WORDS)),
            cell("portfolio", "s.portfolio", Kind::Json),
            cell("archived", "(s.archived_at IS NOT NULL)", Kind::Flag),
        ],
        from: "service_account AS s",
        alias: "s",
        order: Sort::new("account", &[Key::new("s.id", KeyKind::Uuid)]),
        holds: now,
    },
];
