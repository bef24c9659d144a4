//! The world of a test: two companies with people of every role, and a server without its transport.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use domain::access::{Actor, GLOBAL, Portfolio, Role};
use domain::error::Result;
use domain::finding::edit::Edit;
use domain::finding::facts::Finding;
use domain::finding::query::FindingOrder;
use domain::gateway::clock::Clock;
use domain::gateway::signing::SigningKey;
use domain::intake::format::Format;
use domain::intake::import::ImportRequest;
use domain::intake::limits::Limits;
use domain::intake::mapping::{Mapped, Mapping};
use domain::inventory::project::NewProject;
use domain::inventory::token::{Holder, NewToken};
use domain::inventory::user::NewUser;
use domain::job::{Job, JobState};
use domain::ledger::Document;
use domain::ledger::audit::{AuditFilter, Audited};
use domain::page::PageArgs;
use domain::rule::pass::Mode;
use domain::rule::{OnExpiry, Rule, RuleDraft};
use domain::signin::SignInSettings;
use domain::store::Db;
use domain::vocabulary::terms::Term;
use domain::vocabulary::time::Timestamp;
use domain::{Domain, Settings};
use futures_util::TryStreamExt;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Database, Engine};

/// Where the clock of every world stands at first: 2026-11-21T08:00:00Z.
pub const NOW: Timestamp = Timestamp(1_795_248_000_000_000);

/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server without its transport, and who uses it.
pub struct World {
    pub engine: Engine,
    pub domain: Domain,
    pub clock: Clock,
    /// The key that heads of the audit are signed with.
    pub key: SigningKey,
    /// Administers the platform.
    pub root: Actor,
    pub acme: House,
    pub globex: House,
    database: Database,
    servers: Mutex<Vec<Server>>,
}

/// A server and its workers.
struct Server {
    domain: Domain,
    stop: CancellationToken,
    jobs: JoinHandle<Result<()>>,
}

/// Somebody of a company.
#[derive(Clone)]
pub struct Person {
    pub actor: Actor,
    /// The secret of a token of theirs.
    pub token: String,
}

/// A company with people of every role.
pub struct House {
    pub id: Uuid,
    pub people: BTreeMap<&'static str, Person>,
    /// An analyst who sees `project` alone.
    pub narrow: Person,
    pub project: Uuid,
    pub other_project: Uuid,
    pub team: Uuid,
}

/// An import that ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub job: Job,
    pub created: i64,
    pub changed: i64,
    pub unchanged: i64,
    pub closed: i64,
}

impl House {
    pub fn person(&self, role: Role) -> &Person {
        &self.people[role.word()]
    }

    pub fn admin(&self) -> &Actor {
        &self.person(Role::Admin).actor
    }

    pub fn analyst(&self) -> &Actor {
        &self.person(Role::Analyst).actor
    }

    pub fn author(&self) -> &Actor {
        &self.person(Role::Author).actor
    }
}

impl World {
    pub(crate) async fn open(engine: Engine, database: Database) -> Self {
        let clock = Clock::held(NOW);
        let key = SigningKey::open(&database.folder.path().join("key")).expect("a key can be made");
        let root = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "test") };
        let server = Server::start(&database, &clock, 0).await;
        let domain = server.domain.clone();
        let acme = House::build(&domain, &root, "Acme").await;
        let globex = House::build(&domain, &root, "Globex").await;
        let servers = Mutex::new(vec![server]);
        Self { engine, domain, clock, key, root, acme, globex, database, servers }
    }

    /// Starts a server on the same database. Server 0 is there from the beginning; one that is
    /// started again under its number has its folder and its name.
    pub async fn start(&self, number: u8) -> Domain {
        let server = Server::start(&self.database, &self.clock, number).await;
        let domain = server.domain.clone();
        self.servers.lock().expect("no test failed here").push(server);
        domain
    }

    /// Stops every server, as a restart does: each job is left behind its present chunk. What
    /// `domain` can do without workers it still does.
    pub async fn stop(&self) {
        let servers = std::mem::take(&mut *self.servers.lock().expect("no test failed here"));
        for server in servers {
            server.stop.cancel();
            server.jobs.await.expect("workers do not panic").expect("workers end well");
        }
    }

    pub(crate) async fn close(self) -> Database {
        self.stop().await;
        self.domain.db().clone().close().await.expect("a database closes");
        self.database
    }

    /// The address of the database.
    pub fn url(&self) -> &str {
        &self.database.url
    }

    /// Imports `report` and waits for the end of it.
    pub async fn import(&self, actor: &Actor, request: ImportRequest, report: &str) -> Outcome {
        let job = upload(&self.domain, actor, request, report.as_bytes()).await;
        Outcome::of(finished(&self.domain, actor, job).await)
    }

    /// Imports `lines` as a complete report into Acme's first project.
    pub async fn import_lines(&self, lines: &[Json]) -> Outcome {
        let report: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let request = self.request("nightly");
        self.import(self.acme.analyst(), request, &report).await
    }

    /// What the audit has about a record, oldest first.
    pub async fn told_of(&self, record: Uuid) -> Vec<Audited> {
        let filter = AuditFilter { record: Some(record), ..AuditFilter::default() };
        self.audit(&filter, 500).await
    }

    /// The newest `most` entries of Acme's audit that the filter finds, oldest first.
    pub async fn audit(&self, filter: &AuditFilter, most: i64) -> Vec<Audited> {
        let page = self.domain.audit_entries(self.acme.admin(), filter, &PageArgs::first(most)).await;
        let mut entries: Vec<Audited> = page.expect("an admin reads the audit").nodes().collect();
        entries.reverse();
        entries
    }

    /// A request for an import of JSON lines into Acme's first project.
    pub fn request(&self, series: &str) -> ImportRequest {
        ImportRequest {
            project: self.acme.project,
            format: Some(Format::Jsonl),
            mapping: Some(mapping()),
            saved: None,
            asset: None,
            series: Some(series.to_owned()),
            complete: true,
            name: "report.jsonl".to_owned(),
        }
    }

    /// Makes a live rule of Acme.
    pub async fn rule(&self, name: &str, order: i32, criteria: Json, action: Json) -> Rule {
        let draft = draft(name, order, criteria, action);
        self.domain.rule_create(self.acme.author(), draft).await.expect("the rule is in order")
    }

    /// Runs the pass over all findings of Acme and waits for its end.
    pub async fn sweep(&self) -> Job {
        let actor = self.acme.author();
        let job = self.domain.rule_sweep(actor).await.expect("an author may sweep");
        finished(&self.domain, actor, job).await
    }

    /// Every finding of the actor's company that the tree holds for, by title.
    pub async fn findings(&self, actor: &Actor, criteria: Option<Json>) -> Vec<Finding> {
        let filter = self.domain.finding_filter(criteria.as_ref()).expect("the filter is in order");
        let mut args = PageArgs::first(500);
        let mut found = Vec::new();
        loop {
            let order = (FindingOrder::Title, false);
            let page =
                self.domain.findings(actor, &filter, order, &args).await.expect("findings can be listed");
            args.after = page.edges.last().map(|edge| edge.cursor.clone());
            let more = page.has_next;
            found.extend(page.nodes());
            if !more {
                return found;
            }
        }
    }

    /// The finding of Acme with this title.
    pub async fn finding(&self, title: &str) -> Finding {
        let criteria = json!({ "field": "title", "operator": "eq", "value": title });
        let mut found = self.findings(self.acme.admin(), Some(criteria)).await;
        assert_eq!(found.len(), 1, "one finding is called {title}");
        found.remove(0)
    }

    /// An analyst of Acme changes a finding.
    pub async fn edit(&self, finding: Uuid, edit: Edit) -> Finding {
        let edited = self.domain.finding_edit(self.acme.analyst(), finding, None, edit).await;
        edited.expect("the edit is in order").done().expect("no policy gates it")
    }

    /// Where Acme's ledger stands: the numbers of its last audit entry and of its last event.
    pub async fn ledger(&self) -> (i64, i64) {
        let heads = self.domain.audit_head(&self.key).await.expect("heads can be read");
        let head = heads.iter().find(|head| head.company == self.acme.id).expect("a company has a ledger");
        let events = self.domain.event_seq(self.acme.admin()).await.expect("events can be read");
        (head.seq, events)
    }

    /// Somebody new in Acme.
    pub async fn join(&self, name: &str, role: Role) -> Person {
        let system = Actor::system(self.acme.id, "test");
        Person::join(&self.domain, &system, "Acme", name, (role, Portfolio::Whole)).await
    }

    /// Proves that every chain is whole.
    pub async fn assert_ledger_whole(&self) {
        let report = self.domain.audit_verify(&self.key, &[]).await.expect("the audit can be read");
        assert!(report.is_clean(), "{:?}", report.broken);
        assert!(report.entries > 0);
    }
}

/// Asks for an import and uploads its report; returns the job.
pub async fn upload(domain: &Domain, actor: &Actor, request: ImportRequest, report: &[u8]) -> Uuid {
    let job = domain.import_start(actor, request).await.expect("the import is in order");
    let mut incoming = domain.import_upload(actor, job.id).await.expect("the import waits for its report");
    incoming.write(report).await.expect("the report is small enough");
    incoming.finish().await.expect("the report was received").id
}

/// Waits for the end of a job, by following its steps.
pub async fn finished(domain: &Domain, actor: &Actor, job: Uuid) -> Job {
    let steps = domain.job_steps(actor, job, None).await.expect("the job can be followed");
    let all = tokio::time::timeout(PATIENCE, steps.try_collect::<Vec<_>>()).await;
    let Ok(steps) = all else {
        panic!("a job does not end: {:?}", domain.job(actor, job).await);
    };
    assert!(!steps.expect("the steps can be read").is_empty(), "a job has steps");
    let job = domain.job(actor, job).await.expect("the job is there");
    assert!(job.state.is_end());
    job
}

/// A live rule without an end.
pub fn draft(name: &str, order: i32, criteria: Json, action: Json) -> RuleDraft {
    RuleDraft {
        key: None,
        name: name.to_owned(),
        description: None,
        order,
        mode: Mode::Enforce,
        expires_at: None,
        on_expiry: OnExpiry::Keep,
        criteria,
        action,
        requires_approval: false,
    }
}

/// What an entry of the audit says; null for nothing.
pub fn content(document: &Option<Document>) -> Json {
    document.as_ref().map_or(Json::Null, |document| document.json().expect("a document is JSON"))
}

/// A mapping under which each member of an object is the field of its name.
pub fn mapping() -> Mapping {
    Mapping {
        columns: Mapped::ALL.iter().map(|field| (*field, field.word().to_owned())).collect(),
        identity: vec!["scanner_reference".to_owned()],
        scanner: Some("probe".to_owned()),
        ..Mapping::default()
    }
}

impl Outcome {
    fn of(job: Job) -> Self {
        let count = |name| job.counts.get(name).and_then(Json::as_i64).unwrap_or(0);
        let [created, changed, unchanged, closed] = ["created", "changed", "unchanged", "closed"].map(count);
        Self { job, created, changed, unchanged, closed }
    }

    /// Its counts: created, changed, unchanged, closed.
    pub fn counts(&self) -> [i64; 4] {
        assert_eq!(self.job.state, JobState::Completed, "{:?}", self.job.error);
        [self.created, self.changed, self.unchanged, self.closed]
    }
}

impl Server {
    async fn start(database: &Database, clock: &Clock, number: u8) -> Self {
        let db = Db::open(&database.url).await.expect("the database opens");
        let folder = database.folder.path().join(format!("server{number}"));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
        let settings = Settings { folder, limits: Limits::default(), sign_in: SignInSettings::default() };
        let worker = Uuid::from_u128(0x5E00 + u128::from(number));
        let domain = Domain::new(db, clock.clone(), settings, worker);
        let stop = CancellationToken::new();
        let jobs = tokio::spawn({
            let (domain, stop) = (domain.clone(), stop.clone());
            async move { domain.run_jobs(stop).await }
        });
        Self { domain, stop, jobs }
    }
}

impl House {
    async fn build(domain: &Domain, root: &Actor, name: &str) -> Self {
        let company = domain.company_create(root, name, false).await.expect("the name is free");
        let system = Actor::system(company.id, "test");
        let new = |name: &str| NewProject { name: name.to_owned(), description: None };
        let project = domain.project_create(&system, new("Web shop")).await.expect("the name is free").id;
        let other_project =
            domain.project_create(&system, new("Back office")).await.expect("the name is free").id;
        let mut people = BTreeMap::new();
        for role in Role::ALL.iter().filter(|role| **role != Role::PlatformAdmin) {
            let person = Person::join(domain, &system, name, role.word(), (*role, Portfolio::Whole)).await;
            people.insert(role.word(), person);
        }
        let members = [people["ANALYST"].actor.id];
        let team = domain.team_create(&system, "Blue", &members).await.expect("the name is free").id;
        let only = Portfolio::Only { projects: BTreeSet::from([project]), teams: BTreeSet::new() };
        let narrow = Person::join(domain, &system, name, "NARROW", (Role::Analyst, only)).await;
        Self { id: company.id, people, narrow, project, other_project, team }
    }
}

impl Person {
    /// Somebody new in the company of `system`, signed in with a token.
    async fn join(
        domain: &Domain,
        system: &Actor,
        house: &str,
        name: &str,
        grant: (Role, Portfolio),
    ) -> Self {
        let email = format!("{name}@{house}.example").to_lowercase();
        let new =
            NewUser { email, name: format!("{house} {name}"), grant: Some(grant), platform_admin: false };
        let user = domain.user_create(system, new).await.expect("the address is free");
        let new = NewToken {
            holder: Some(Holder::User(user.id)),
            name: "test".to_owned(),
            scopes: None,
            life: None,
        };
        let (_, secret) = domain.token_create(system, new).await.expect("members may have tokens");
        let actor = domain.authenticate(secret.reveal(), None, None).await.expect("the token is good");
        Self { actor, token: secret.reveal().to_owned() }
    }
}
