//! VEX statements.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object};
use domain::error::Error;
use domain::intel::vex::query::{Listed, VexFilter};
use domain::inventory::project::Project;
use domain::inventory::scan::Scan;
use record::{record, root};

use super::finding::words::FindingStatus;
use super::id::Noun;
use super::loaders::one;
use super::page::{Counter, args, connection};
use super::project::ProjectNode;
use super::scalars::DateTime;
use super::scan::ScanNode;
use super::{actor, domain};

pub struct VexStatement(Listed);

impl From<Listed> for VexStatement {
    fn from(listed: Listed) -> Self {
        Self(listed)
    }
}

/// What a VEX document says of a product, under one name of the vulnerability. It holds for the findings
/// of its project.
#[record]
#[Object]
impl VexStatement {
    /// The vulnerability: a CVE id, or another name in upper case.
    fn vulnerability(&self) -> &str {
        &self.0.vulnerability
    }

    /// The state in the word of the document's format: `not_affected`.
    fn state(&self) -> &str {
        &self.0.said.state
    }

    /// The status that it gives to findings; null where they stand as they are.
    fn status(&self) -> Option<FindingStatus> {
        self.0.said.verdict.as_ref().map(|verdict| verdict.status.into())
    }

    /// Why, in the word of the format: `vulnerable_code_not_present`.
    fn justification(&self) -> Option<&str> {
        self.0.said.verdict.as_ref()?.justification.as_deref()
    }

    /// Why, in the words of the author.
    fn statement(&self) -> Option<&str> {
        self.0.said.verdict.as_ref()?.statement.as_deref()
    }

    /// Who says so, as the document names them.
    fn author(&self) -> Option<&str> {
        self.0.said.verdict.as_ref()?.author.as_deref()
    }

    /// The name of the asset that it was said to be about when the document was uploaded.
    fn asset(&self) -> Option<&str> {
        self.0.said.asset.as_deref()
    }

    /// The product by the name that an asset of it would have; null where the document names none.
    fn product(&self) -> Option<&str> {
        Some(self.0.said.product.name.as_str()).filter(|name| !name.is_empty())
    }

    /// The package URL of the product.
    fn product_purl(&self) -> Option<&str> {
        self.0.said.product.purl.as_deref()
    }

    /// Whether it is about a component of the product, and not about the product itself.
    fn of_component(&self) -> bool {
        self.0.said.part
    }

    /// The component that it is about, or else the product, as reports name components.
    fn component_name(&self) -> Option<&str> {
        self.0.said.subject.name.as_deref()
    }

    /// The version; null for all of them.
    fn component_version(&self) -> Option<&str> {
        self.0.said.subject.version.as_deref()
    }

    /// The package URL.
    fn component_purl(&self) -> Option<&str> {
        self.0.said.subject.purl.as_deref()
    }

    /// When it was said: of several that hold for a finding the last counts.
    fn said_at(&self) -> DateTime {
        DateTime(self.0.said_at)
    }

    /// The scan whose document said it last.
    async fn scan(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<ScanNode>>>> {
        one::<Scan, _>(ctx, rows.iter().map(|row| Some(row.0.scan))).await
    }

    /// The project for whose findings it holds.
    async fn project(
        rows: &[&Self],
        ctx: &Context<'_>,
    ) -> async_graphql::Result<Vec<Option<Arc<ProjectNode>>>> {
        one::<Project, _>(ctx, rows.iter().map(|row| Some(row.0.project))).await
    }
}

connection!(
    VexStatementConnection,
    VexStatementEdge,
    VexStatement,
    "A page of VEX statements.",
    "A VEX statement in a page."
);

/// Which statements: all that is said must hold.
#[derive(Default, InputObject)]
pub struct VexStatementFilterInput {
    /// The global id of the project.
    project: Option<ID>,
    /// Any name of the vulnerability, in any case.
    vulnerability: Option<String>,
}

impl VexStatementFilterInput {
    fn read(self) -> Result<VexFilter, Error> {
        let project = self.project.map(|id| Noun::Project.read_at(&id, "project")).transpose()?;
        Ok(VexFilter { project, vulnerability: self.vulnerability })
    }
}

#[derive(Default)]
pub struct VexQuery;

#[root]
#[Object]
impl VexQuery {
    /// The VEX statements of the projects inside of the caller's portfolio, by the name of the
    /// vulnerability. One with several names is listed under each.
    async fn vex_statements(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones; all if not said.")] filter: Option<VexStatementFilterInput>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<VexStatementConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let filter = filter.unwrap_or_default().read()?;
        let page = domain.vex_statements(&actor, &filter, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor, filter) = (domain.clone(), actor.clone(), filter.clone());
            async move { domain.vex_statement_count(&actor, &filter).await }
        });
        Ok(VexStatementConnection::new(page, total))
    }
}
