//! Changes that wait for a second person.
//!
//! Where the company's policy gates what a person wants of findings, nothing of it happens. The change is
//! kept as a request: the edit, who asked, and for each finding the fields that the edit touches as they
//! are and as they would be. When it is approved, a job makes the change where those fields still are as
//! they were; a finding that moved on is left alone, and the request says what moved.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::acceptance::Acceptance;
use super::bulk::CHUNK;
use super::change::Change;
use super::edit::Edit;
use super::facts::Finding;
use crate::Domain;
use crate::access::{Actor, Permission, Scope};
use crate::approval::{BlastRadius, Hand, NewApproval, Subject};
use crate::error::{Code, Error, Result};
use crate::job::Principal;
use crate::ledger::AuditEntry;
use crate::page::{Page, PageArgs, Window};
use crate::policy::{ChangeFacts, Gate, Policy};
use crate::store::Tx;
use crate::vocabulary::terms::{Severity, Status, terms};
use crate::vocabulary::time::Timestamp;

mod applying;
pub(crate) mod store;

/// How many different values of a field are told with the question; the findings are all listed.
const SHOWN: usize = 20;

terms! {
    /// Where a request stands.
    RequestState {
        Waiting = "WAITING", Applying = "APPLYING", Applied = "APPLIED", Dropped = "DROPPED",
    }

    /// What became of one finding of a request.
    ItemOutcome { Waiting = "WAITING", Applied = "APPLIED", Moved = "MOVED", Gone = "GONE" }
}

/// What came of a change that a policy may gate.
#[derive(Clone, Debug)]
pub enum Made<T> {
    Done(T),
    /// It waits for a second person.
    Asked(Box<ChangeRequest>),
}

impl<T> Made<T> {
    /// What was done; none where it waits.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(done) => Some(done),
            Self::Asked(_) => None,
        }
    }

    /// The request; none where it was done.
    pub fn asked(self) -> Option<ChangeRequest> {
        match self {
            Self::Done(_) => None,
            Self::Asked(request) => Some(*request),
        }
    }
}

/// A change that waits for a second person, or did.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    pub id: Uuid,
    pub company: Uuid,
    pub edit: Edit,
    /// Why it was gated.
    pub gates: Vec<Gate>,
    /// Who asked, with the rights of that moment.
    pub principal: Principal,
    /// How many findings it changes, how many of those were active, and how many findings were.
    pub findings: i64,
    pub touched: i64,
    pub active: i64,
    /// SHA-256, in hexadecimal, of what it changes from what to what.
    pub digest: String,
    pub state: RequestState,
    /// What waits for those who have to agree.
    pub approval: Uuid,
    /// The job that makes the change.
    pub job: Option<Uuid>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// One finding of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub finding: Uuid,
    /// The fields that the edit touches, as they were and as they would be.
    pub was: Map<String, Json>,
    pub becomes: Map<String, Json>,
    pub outcome: ItemOutcome,
    pub moved: Option<Moved>,
}

/// What of a finding moved on before the change was agreed to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moved {
    pub field: String,
    pub was: Json,
    pub is: Json,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct RequestFilter {
    pub states: Vec<RequestState>,
    pub author: Option<Uuid>,
}

impl ChangeRequest {
    /// What those who have to agree are asked.
    fn question(&self, items: &[Item], actor: &Actor) -> NewApproval {
        let many =
            if self.findings == 1 { "a finding".to_owned() } else { format!("{} findings", self.findings) };
        let hand = Hand::of(actor);
        NewApproval {
            subject: Subject::Change(self.id),
            title: format!("{} of {many}", self.edit.title()),
            reasons: self.gates.iter().map(|gate| gate.reason().to_owned()).collect(),
            content: json!({ "edit": self.edit, "findings": self.findings, "digest": self.digest }),
            content_hash: self.digest.clone(),
            diff: summary(&self.edit.fields(), items),
            blast: BlastRadius {
                count: Some(self.touched),
                share: Some(share(self.touched, self.active)),
                as_of: self.created_at,
            },
            author: hand,
            editor: hand,
        }
    }
}

/// So many of the active findings, from 0 to 1: nothing is a share of nothing.
pub fn share(touched: i64, active: i64) -> f64 {
    if touched == 0 { 0.0 } else { touched as f64 / active.max(touched) as f64 }
}

/// The difference that a change makes, field by field: a value where it is the same of all findings, or
/// else the list of those that there are.
fn summary(fields: &[&str], items: &[Item]) -> Json {
    let values = |of: fn(&Item) -> &Map<String, Json>| -> Map<String, Json> {
        let seen = |field: &&str| {
            let mut seen: Vec<&Json> = Vec::new();
            for value in items.iter().filter_map(|item| of(item).get(*field)) {
                if seen.len() < SHOWN && !seen.contains(&value) {
                    seen.push(value);
                }
            }
            let value = if let [one] = *seen { one.clone() } else { json!(seen) };
            ((*field).to_owned(), value)
        };
        fields.iter().map(seen).collect()
    };
    json!({ "changed": fields, "before": values(|item| &item.was), "after": values(|item| &item.becomes) })
}

/// A change of findings that was tried in memory: what it comes to.
#[derive(Debug, Default)]
pub(super) struct Draft {
    facts: ChangeFacts,
    items: Vec<Item>,
}

impl Draft {
    /// Tries the changes that an edit makes of a finding; one that it does not change is left out.
    ///
    /// # Errors
    ///
    /// Those of [`Finding::change`].
    pub fn add(
        &mut self,
        finding: &Finding,
        open: Option<&Acceptance>,
        edit: &Edit,
        changes: Vec<Change>,
    ) -> Result<()> {
        let Some(tried) = Tried::new(finding, changes)? else { return Ok(()) };
        tried.count(finding, &mut self.facts);
        let fields = edit.fields();
        self.items.push(Item {
            finding: finding.id,
            was: fields_of(&fields, finding, open),
            becomes: fields_of(&fields, &tried.finding, tried.begins.as_ref().or(open)),
            outcome: ItemOutcome::Waiting,
            moved: None,
        });
        Ok(())
    }
}

/// A finding as it would be.
struct Tried {
    finding: Finding,
    begins: Option<Acceptance>,
}

impl Tried {
    /// `None`: nothing would change.
    fn new(finding: &Finding, changes: Vec<Change>) -> Result<Option<Self>> {
        let mut finding = finding.clone();
        let (mut begins, mut changed) = (None, false);
        for change in changes {
            if let Change::Accepted { acceptance } = &change {
                begins = Some(Acceptance::clone(acceptance));
            }
            changed |= !finding.change(change, &Json::Null)?.is_empty();
        }
        Ok(changed.then_some(Self { finding, begins }))
    }

    fn count(&self, was: &Finding, facts: &mut ChangeFacts) {
        let shown =
            |finding: &Finding| -> (Severity, Status) { (finding.shown.severity, finding.shown.status) };
        facts.add(shown(was), shown(&self.finding), self.begins.is_some());
    }
}

impl Policy {
    /// Refuses what would become of a finding where its kind is gated, as what its state does not allow.
    pub(super) fn refuse_kinds(&self, finding: &Finding, changes: &[Change]) -> Result<()> {
        if !self.watches_people() {
            return Ok(());
        }
        let Some(tried) = Tried::new(finding, changes.to_vec())? else { return Ok(()) };
        let mut facts = ChangeFacts::default();
        tried.count(finding, &mut facts);
        if self.gates(&ChangeFacts { touched: 0, ..facts }).is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::IllegalState, "A second person has to agree to this change."))
    }
}

/// The values of fields as a request keeps them.
fn fields_of(fields: &[&str], finding: &Finding, open: Option<&Acceptance>) -> Map<String, Json> {
    let value = |field: &str| match field {
        "issue" => json!(finding.issue),
        "acceptance" => open.filter(|_| finding.is_accepted()).map_or(Json::Null, |open| open.terms.json()),
        field => finding.shown.json(field),
    };
    fields.iter().map(|field| ((*field).to_owned(), value(field))).collect()
}

/// What moved on, if anything did: the first field that no longer is as it was.
fn moved(was: &Map<String, Json>, is: &Map<String, Json>) -> Option<Moved> {
    let (field, was) = was.iter().find(|(field, was)| is.get(*field) != Some(was))?;
    let is = is.get(field).cloned().unwrap_or(Json::Null);
    Some(Moved { field: field.clone(), was: was.clone(), is })
}

/// A digest of what is to be done, and of what changes by it from what to what.
fn digest(edit: &Edit, items: &[Item]) -> String {
    let mut hash = Sha256::new();
    hash.update(json!(edit).to_string());
    hash.update(b"\n");
    for item in items {
        hash.update(json!([item.finding, item.was, item.becomes]).to_string());
        hash.update(b"\n");
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Domain {
    /// The request that a change becomes where the policy gates it.
    pub(super) async fn request_if_gated(
        &self,
        actor: &Actor,
        scope: &Scope,
        policy: &Policy,
        edit: &Edit,
        draft: Draft,
    ) -> Result<Option<(ChangeRequest, Vec<Item>)>> {
        let Draft { mut facts, mut items } = draft;
        if items.is_empty() {
            return Ok(None);
        }
        facts.active = self.db().count_active(scope).await?;
        let gates = policy.gates(&facts);
        if gates.is_empty() {
            return Ok(None);
        }
        items.sort_unstable_by_key(|item| item.finding);
        let request = ChangeRequest {
            id: self.clock().id(),
            company: scope.company()?,
            edit: edit.clone(),
            gates,
            principal: Principal::of(actor),
            findings: i64::try_from(items.len()).unwrap_or(i64::MAX),
            touched: facts.touched,
            active: facts.active,
            digest: digest(edit, &items),
            state: RequestState::Waiting,
            approval: Uuid::nil(),
            job: None,
            created_at: self.clock().now(),
            ended_at: None,
        };
        Ok(Some((request, items)))
    }

    /// Keeps a request, asks those who have to agree, and commits: nothing else happens of what was asked
    /// for.
    pub(super) async fn ask(
        &self,
        mut tx: Tx,
        actor: &Actor,
        scope: &Scope,
        request: ChangeRequest,
        items: Vec<Item>,
    ) -> Result<ChangeRequest> {
        let approval = self.open_approval(&mut tx, actor, scope, request.question(&items, actor)).await?;
        let request = ChangeRequest { approval: approval.id, ..request };
        tx.insert_change_request(&request, &items).await?;
        let told = json!({
            "edit": request.edit, "gates": request.gates, "findings": request.findings,
            "digest": request.digest, "approval": approval.id,
        });
        tx.audit(AuditEntry::new("change_request.opened", request.id).after(told));
        tx.answer(request.id);
        tx.commit().await?;
        Ok(request)
    }

    /// A request that the actor may see: those outside of a narrow portfolio are those of others.
    pub async fn change_request(&self, actor: &Actor, id: Uuid) -> Result<ChangeRequest> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().change_requests_by_id(&scope, actor.id, &[id]).await?.pop();
        found.ok_or_else(|| Error::not_found("change request"))
    }

    /// The requests of these ids that the actor may see, for a loader.
    pub async fn change_requests_by_id(
        &self,
        actor: &Actor,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, ChangeRequest>> {
        let scope = actor.allow(Permission::Read)?;
        let found = self.db().change_requests_by_id(&scope, actor.id, ids).await?;
        Ok(found.into_iter().map(|request| (request.id, request)).collect())
    }

    /// The requests that the actor may see, the newest first.
    pub async fn change_requests(
        &self,
        actor: &Actor,
        filter: &RequestFilter,
        page: &PageArgs,
    ) -> Result<Page<ChangeRequest>> {
        let scope = actor.allow(Permission::Read)?;
        let window = Window::new(page, store::NEWEST)?;
        self.db().change_requests(&scope, actor.id, filter, &window).await
    }

    pub async fn change_request_count(&self, actor: &Actor, filter: &RequestFilter) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.db().change_request_count(&scope, actor.id, filter).await
    }

    /// The findings of a request that the actor sees, with what becomes of each.
    pub async fn change_request_items(
        &self,
        actor: &Actor,
        request: Uuid,
        page: &PageArgs,
    ) -> Result<Page<Item>> {
        let scope = actor.allow(Permission::Read)?;
        self.change_request(actor, request).await?;
        self.db().change_request_items(&scope, request, &Window::new(page, store::BY_FINDING)?).await
    }

    pub async fn change_request_item_count(&self, actor: &Actor, request: Uuid) -> Result<i64> {
        let scope = actor.allow(Permission::Read)?;
        self.change_request(actor, request).await?;
        self.db().change_request_item_count(&scope, request).await
    }
}
