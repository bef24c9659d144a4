//! Code lists: the words that a company has for the effects, causes and remedies of its findings,
//! with labels. What the global company lists, all companies may use and label anew.

use serde_json::json;

use crate::Domain;
use crate::access::{Actor, GLOBAL, Permission};
use crate::error::{Error, Result};
use crate::inventory::input;
use crate::ledger::AuditEntry;
use crate::vocabulary::terms::terms;

pub(crate) mod store;

/// The most codes in one list of one company.
pub const CODES: i64 = 1_000;

terms! {
    /// A list of codes.
    CodeList {
        Effects = "EFFECTS", RootCauses = "ROOT_CAUSES",
        RemediationTechniques = "REMEDIATION_TECHNIQUES", AttackTechniques = "ATTACK_TECHNIQUES",
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeEntry {
    pub list: CodeList,
    pub code: String,
    pub label: String,
    /// It is the same for all companies.
    pub global: bool,
}

impl Domain {
    /// The codes of a list, sorted: the company's own, and the global ones that it has not labelled.
    pub async fn codes(&self, actor: &Actor, list: CodeList) -> Result<Vec<CodeEntry>> {
        let scope = actor.allow(Permission::Read)?;
        self.db().codes(&scope, list).await
    }

    /// Adds a code to a list, or gives it another label.
    pub async fn code_set(
        &self,
        actor: &Actor,
        list: CodeList,
        code: &str,
        label: &str,
    ) -> Result<CodeEntry> {
        let scope = actor.allow(Permission::ManageSettings)?;
        let code = input::name("code", code, input::WORD)?;
        let label = input::name("label", label, input::NAME)?;
        let mut tx = self.begin(actor, &scope).await?;
        let before = store::label(&tx, &scope, list, &code).await?;
        let entry = CodeEntry { list, code, label, global: tx.company == GLOBAL };
        if before.as_deref() == Some(entry.label.as_str()) {
            return Ok(entry);
        }
        if before.is_none() && store::count(&tx, &scope, list).await? >= CODES {
            return Err(Error::invalid("code", format!("A list has at most {CODES} codes.")));
        }
        store::set(&tx, &entry).await?;
        let told = |label: &str| json!({ "list": list, "code": entry.code, "label": label });
        let mut audit = AuditEntry::new("code.set", tx.company).after(told(&entry.label));
        audit.before = before.as_deref().map(|label| told(label).into());
        tx.audit(audit);
        tx.commit().await?;
        Ok(entry)
    }

    /// Takes a code of the company out of a list. Findings that carry it keep it, without a label.
    pub async fn code_remove(&self, actor: &Actor, list: CodeList, code: &str) -> Result<CodeEntry> {
        let scope = actor.allow(Permission::ManageSettings)?;
        let mut tx = self.begin(actor, &scope).await?;
        let label = store::label(&tx, &scope, list, code).await?.ok_or_else(|| Error::not_found("code"))?;
        let entry = CodeEntry { list, code: code.to_owned(), label, global: tx.company == GLOBAL };
        store::remove(&tx, &entry).await?;
        tx.audit(
            AuditEntry::new("code.removed", tx.company)
                .before(json!({ "list": list, "code": entry.code, "label": entry.label })),
        );
        tx.commit().await?;
        Ok(entry)
    }
}
