//! Issues: findings that are the same thing to act on.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use domain::finding::facts::Finding;
use domain::finding::issue::Issue;
use record::{record, root};
use uuid::Uuid;

use super::FindingNode;
use crate::graphql::id::Noun;
use crate::graphql::payload::{mutate, payload};
use crate::graphql::person::{Person, people};

/// An issue, and who put the finding in it by which it is looked at.
pub struct IssueNode {
    pub issue: Arc<Issue>,
    pub by: Option<Uuid>,
}

/// Findings that are the same thing to act on: the same weakness on the same asset, whoever reports
/// it, or what people linked by hand. Each stays a finding of its own.
#[record]
#[Object(name = "Issue")]
impl IssueNode {
    /// Its name: equal for the findings of one issue.
    fn key(&self) -> String {
        self.issue.id.simple().to_string()
    }

    /// How many findings it has inside of the caller's portfolio.
    fn count(&self) -> i64 {
        self.issue.count
    }

    /// The worst of its findings, at most 100.
    fn findings(&self) -> Vec<FindingNode> {
        self.issue.findings.iter().cloned().map(FindingNode::from).collect()
    }

    /// The scanners that report it, in the order of the alphabet.
    fn scanners(&self) -> Vec<&str> {
        let names = self.issue.findings.iter().map(|finding| finding.evidence.scanner_source.as_str());
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Who put the finding in it by hand; null where the rule did, and for those who are gone.
    async fn linked_by(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<Arc<Person>>>> {
        people(ctx, rows.iter().map(|row| row.by)).await
    }

    /// Whether a person put the finding in it: `findingRelease` of `issue` gives it back to the rule.
    fn by_hand(&self) -> bool {
        self.by.is_some()
    }
}

payload! {
    /// What `findingLink` answers.
    FindingLinkPayload {
        /// The first of the findings, with the issue that all are of now.
        finding: FindingNode
    }
    /// What `findingUnlink` answers.
    FindingUnlinkPayload {
        /// The first of the findings, which is an issue of its own now.
        finding: FindingNode
    }
}

#[derive(Default)]
pub struct IssueMutation;

#[root]
#[Object]
impl IssueMutation {
    /// Says that findings are one issue: that of the first. It stands over the rule until they are
    /// released.
    async fn finding_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The global ids of the findings, at most 200. One alone stays in its issue, whatever the rule says later."
        )]
        ids: Vec<ID>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingLinkPayload> {
        mutate::<Finding, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                domain.finding_link(&actor, &Noun::Finding.read_all::<Vec<_>>(&ids, "ids")?).await
            },
            |domain, actor, id| async move { domain.finding(&actor, id).await },
        )
        .await
    }

    /// Says that each of these findings is an issue of its own. It stands over the rule until they are
    /// released.
    async fn finding_unlink(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global ids of findings, at most 200.")] ids: Vec<ID>,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<FindingUnlinkPayload> {
        mutate::<Finding, _, _, _>(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                domain.finding_unlink(&actor, &Noun::Finding.read_all::<Vec<_>>(&ids, "ids")?).await
            },
            |domain, actor, id| async move { domain.finding(&actor, id).await },
        )
        .await
    }
}
