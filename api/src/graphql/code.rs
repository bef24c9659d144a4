//! Code lists.

use async_graphql::{Context, Enum, Object, SimpleObject};
use domain::error::Error;
use domain::inventory::code::CodeEntry;
use record::{record, root};

use super::payload::{mutate, payload};
use super::{actor, domain};

/// A list of codes.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::inventory::code::CodeList")]
pub enum CodeList {
    /// What a finding leads to.
    Effects,
    /// What a finding comes from.
    RootCauses,
    /// What is done about a finding.
    RemediationTechniques,
    /// How a finding is used: techniques of MITRE ATT&CK.
    AttackTechniques,
}

/// A code of a list, with its label.
#[record]
#[derive(SimpleObject)]
pub struct Code {
    /// The list that it is in.
    list: CodeList,
    /// The code, as findings carry it.
    code: String,
    /// What it is called.
    label: String,
    /// It is the same for all companies.
    global: bool,
}

impl From<CodeEntry> for Code {
    fn from(entry: CodeEntry) -> Self {
        Self { list: entry.list.into(), code: entry.code, label: entry.label, global: entry.global }
    }
}

#[derive(Default)]
pub struct CodeQuery;

#[root]
#[Object]
impl CodeQuery {
    /// The codes of a list, sorted: the company's own, and those for all companies that it has not
    /// labelled itself. At most 2,000.
    async fn codes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which list.")] list: CodeList,
    ) -> async_graphql::Result<Vec<Code>> {
        let codes = domain(ctx).codes(actor(ctx)?, list.into()).await?;
        Ok(codes.into_iter().map(Code::from).collect())
    }
}

payload! {
    /// What `codeSet` answers.
    CodeSetPayload {
        /// The code with its label.
        code: Code
    }
    /// What `codeRemove` answers.
    CodeRemovePayload {
        /// The code that was removed.
        code: Code
    }
}

#[derive(Default)]
pub struct CodeMutation;

#[root]
#[Object]
impl CodeMutation {
    /// Adds a code to a list, or gives it another label. It does the same however often it is sent.
    async fn code_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which list.")] list: CodeList,
        #[graphql(desc = "The code, as findings carry it.")] code: String,
        #[graphql(desc = "What it is called.")] label: String,
    ) -> async_graphql::Result<CodeSetPayload> {
        mutate(
            ctx,
            None,
            |domain, actor| async move { domain.code_set(&actor, list.into(), &code, &label).await },
            |_, _, _| async move { Err(Error::not_found("code")) },
        )
        .await
    }

    /// Takes a code of the company out of a list. Findings that carry it keep it, without a label.
    async fn code_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which list.")] list: CodeList,
        #[graphql(desc = "The code.")] code: String,
    ) -> async_graphql::Result<CodeRemovePayload> {
        mutate(
            ctx,
            None,
            |domain, actor| async move { domain.code_remove(&actor, list.into(), &code).await },
            |_, _, _| async move { Err(Error::not_found("code")) },
        )
        .await
    }
}
