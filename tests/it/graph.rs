//! The GraphQL surface of people and the inventory, by executing the schema in process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::graphql::{Schema, schema};
use async_graphql::{Request, Variables};
use domain::access::{Actor, Portfolio, Role};
use domain::error::{Code, Error};
use domain::inventory::asset::NewAsset;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use serde_json::{Value as Json, json};

use support::{World, on_both};

use crate::ground::Ground;

on_both!(
    an_asset_over_the_wire,
    a_missing_right_is_an_error_and_an_unknown_one_too,
    nodes_are_in_scope_or_null,
    people_over_the_wire,
);

pub struct Client<'a> {
    pub schema: &'a Schema,
    pub actor: Actor,
}

impl Client<'_> {
    /// The data of a request that has no errors.
    pub async fn ask(&self, query: &str, variables: Json) -> Json {
        let request = Request::new(query).variables(Variables::from_json(variables)).data(self.actor.clone());
        let response = self.schema.execute(request).await;
        assert!(response.errors.is_empty(), "{query}: {:?}", response.errors);
        api::graphql::data(&response)
    }

    /// The domain's code of a request that fails.
    pub async fn fails(&self, query: &str, variables: Json) -> Code {
        let request = Request::new(query).variables(Variables::from_json(variables)).data(self.actor.clone());
        let response = self.schema.execute(request).await;
        response.errors[0].source::<Error>().unwrap_or_else(|| panic!("{:?}", response.errors)).code
    }
}

const CREATE: &str = "mutation($input: AssetCreateInput!, $key: String) {
    assetCreate(input: $input, idempotencyKey: $key) {
        asset { id name type version criticality ownerTeam { name members { name } } viewerCan { edit { allowed reason } } }
        userErrors { code message field details }
    }
}";

const UPDATE: &str = "mutation($id: ID!, $version: Int!, $input: AssetUpdateInput!) {
    assetUpdate(id: $id, expectedVersion: $version, input: $input) {
        asset { version criticality ownerTeam { id } environment }
        userErrors { code field details }
    }
}";

async fn an_asset_over_the_wire(world: &World) {
    let ground = Ground::new(world).await;
    let schema = schema(ground.domain.clone()).finish();
    let client = Client { schema: &schema, actor: ground.admin.clone() };
    let made = client
        .ask(
            "mutation($m: [ID!]!) { teamCreate(input: { name: \"Blue\", members: $m }) { team { id } userErrors { code } } }",
            json!({ "m": [client.ask("{ viewer { user { id } } }", json!({})).await["viewer"]["user"]["id"]] }),
        )
        .await;
    let team = &made["teamCreate"]["team"]["id"];
    let input = json!({ "name": "web", "type": "host", "criticality": "HIGH", "ownerTeam": team });
    let made = client.ask(CREATE, json!({ "input": input, "key": "k" })).await["assetCreate"].clone();
    assert_eq!(made["userErrors"], json!([]));
    assert_eq!(made["asset"]["ownerTeam"], json!({ "name": "Blue", "members": [{ "name": "Ada" }] }));
    assert_eq!(made["asset"]["viewerCan"]["edit"], json!({ "allowed": true, "reason": null }));
    let id = &made["asset"]["id"];

    // The same request again is the same answer; another one with its key is refused.
    let again = client.ask(CREATE, json!({ "key": "k", "input": input })).await;
    assert_eq!(again["assetCreate"], made);
    let other = client.ask(CREATE, json!({ "input": { "name": "db" }, "key": "k" })).await;
    assert_eq!(other["assetCreate"]["userErrors"][0]["code"], "IDEMPOTENCY_MISMATCH");
    assert_eq!(other["assetCreate"]["userErrors"][0]["field"], json!(["idempotencyKey"]));
    let taken = client.ask(CREATE, json!({ "input": input })).await["assetCreate"].clone();
    assert_eq!((&taken["asset"], &taken["userErrors"][0]["code"]), (&Json::Null, &json!("TAKEN")));
    assert_eq!(taken["userErrors"][0]["field"], json!(["input", "name"]));
    let nobody = client.ask(CREATE, json!({ "input": { "name": "x", "ownerTeam": "nobody" } })).await;
    assert_eq!(nobody["assetCreate"]["userErrors"][0]["field"], json!(["input", "ownerTeam"]));

    // What is not said stays, and null takes away.
    let change = json!({ "criticality": null, "environment": "TEST" });
    let done = client.ask(UPDATE, json!({ "id": id, "version": 1, "input": change })).await;
    let expected =
        json!({ "version": 2, "criticality": null, "ownerTeam": { "id": team }, "environment": "TEST" });
    assert_eq!(done["assetUpdate"]["asset"], expected);
    let stale = client.ask(UPDATE, json!({ "id": id, "version": 1, "input": {} })).await;
    assert_eq!(stale["assetUpdate"]["userErrors"][0]["code"], "CONFLICT");
    assert_eq!(
        stale["assetUpdate"]["userErrors"][0]["details"],
        json!({ "currentVersion": 2, "author": "Ada" })
    );

    let archive = "mutation($id: ID!) { assetArchive(id: $id, expectedVersion: 2) {
        asset { archivedAt viewerCan { edit { allowed reason } archive { allowed } } } userErrors { code } } }";
    let archived = client.ask(archive, json!({ "id": id })).await["assetArchive"]["asset"].clone();
    assert_eq!(archived["viewerCan"]["edit"]["allowed"], false);
    assert_eq!(archived["viewerCan"]["archive"]["allowed"], true);
    assert_eq!(archived["archivedAt"], ground.clock.now().to_string());
    let lists = "{ active: assets { totalCount } all: assets(filter: { archived: null }) { totalCount nodes { id } } }";
    let lists = client.ask(lists, json!({})).await;
    assert_eq!((&lists["active"]["totalCount"], &lists["all"]["totalCount"]), (&json!(0), &json!(1)));

    let audit = "query($id: ID!) { auditEntries(filter: { record: $id }) { nodes {
        id action record before after actor { kind name account } at } totalCount } }";
    let audit = client.ask(audit, json!({ "id": id })).await["auditEntries"].clone();
    assert_eq!(audit["totalCount"], 3);
    assert_eq!(audit["nodes"][1]["action"], "asset.updated");
    assert_eq!(audit["nodes"][1]["record"], *id);
    assert_eq!(audit["nodes"][1]["after"], json!({ "criticality": null, "environment": "TEST" }));
    let entry = client
        .ask(
            "query($id: ID!) { node(id: $id) { __typename id ... on AuditEntry { action } } }",
            json!({ "id": audit["nodes"][1]["id"] }),
        )
        .await;
    assert_eq!(entry["node"]["action"], "asset.updated");
}

async fn a_missing_right_is_an_error_and_an_unknown_one_too(world: &World) {
    let ground = Ground::new(world).await;
    let schema = schema(ground.domain.clone()).finish();
    let viewer = ground.member("Vi", Role::Viewer, Portfolio::Whole).await;
    let client = Client { schema: &schema, actor: viewer };
    assert_eq!(client.fails(CREATE, json!({ "input": { "name": "x" } })).await, Code::Forbidden);
    assert_eq!(client.fails("{ auditEntries { nodes { id } } }", json!({})).await, Code::Forbidden);
    assert_eq!(
        client.fails("{ assets(after: \"x\") { nodes { id } } }", json!({})).await,
        Code::CursorInvalid
    );
    let can =
        client.ask("{ viewer { roles permissions company { name } companies { name } } }", json!({})).await;
    assert_eq!(can["viewer"]["roles"], json!(["VIEWER"]));
    assert_eq!(can["viewer"]["permissions"], json!(["READ", "EDIT_VIEWS", "EXPORT"]));
    assert_eq!(can["viewer"]["companies"], json!([{ "name": ground.company.name }]));
    let nobody = schema.execute("{ viewer { roles } }").await;
    assert_eq!(nobody.errors[0].source::<Error>().unwrap().code, Code::Unauthenticated);
    let info = schema.execute("{ serverInfo { version limits { largestPage } } }").await;
    assert_eq!(api::graphql::data(&info)["serverInfo"]["limits"]["largestPage"], 500);
}

async fn nodes_are_in_scope_or_null(world: &World) {
    let ground = Ground::new(world).await;
    let schema = schema(ground.domain.clone()).finish();
    let client = Client { schema: &schema, actor: ground.admin.clone() };
    let (_, nia) = ground.neighbour().await;
    let neighbour = Client { schema: &schema, actor: nia };
    let own = ground.project("Own").await;
    let other = ground.project("Other").await;
    let narrow = Portfolio::Only { projects: BTreeSet::from([own.id]), teams: BTreeSet::new() };
    let narrow = Client { schema: &schema, actor: ground.member("Ann", Role::Analyst, narrow).await };
    let made = "mutation {
        view: viewCreate(input: { name: \"V\", noun: ASSETS, filter: { a: [1, null] }, shared: true }) { view { id filter } }
        team: teamCreate(input: { name: \"T\" }) { team { id } }
        asset: assetCreate(input: { name: \"A\" }) { asset { id } }
        account: serviceAccountCreate(input: { name: \"S\", role: VIEWER }) { serviceAccount { id portfolio { whole } } }
        token: tokenCreate(input: { name: \"K\", scopes: [READ], expiresIn: \"P7D\" }) { issued { secret token { id expiresAt scopes holder { ... on User { name } } } } }
    }";
    let made = client.ask(made, json!({})).await;
    assert_eq!(made["view"]["view"]["filter"], json!({ "a": [1, null] }));
    assert_eq!(made["token"]["issued"]["token"]["scopes"], json!(["READ"]));
    assert_eq!(made["token"]["issued"]["token"]["holder"]["name"], "Ada");
    let secret = made["token"]["issued"]["secret"].as_str().unwrap();
    assert_eq!(ground.domain.authenticate(secret, None, None).await.unwrap().id, ground.admin.id);
    let listed = client.ask("{ users { nodes { id membership { id } } } company: viewer { company { id } } projects { nodes { id name } } }", json!({})).await;
    let mut ids: Vec<&Json> = vec![
        &made["view"]["view"]["id"],
        &made["team"]["team"]["id"],
        &made["asset"]["asset"]["id"],
        &made["account"]["serviceAccount"]["id"],
        &made["token"]["issued"]["token"]["id"],
        &listed["users"]["nodes"][0]["id"],
        &listed["users"]["nodes"][0]["membership"]["id"],
        &listed["company"]["company"]["id"],
        &listed["projects"]["nodes"][0]["id"],
    ];
    let node = "query($id: ID!) { node(id: $id) { __typename id } }";
    let mut names = BTreeSet::new();
    for id in &ids {
        let found = client.ask(node, json!({ "id": id })).await;
        assert_eq!(found["node"]["id"], **id);
        names.insert(found["node"]["__typename"].as_str().unwrap().to_owned());
        assert_eq!(neighbour.ask(node, json!({ "id": id })).await, json!({ "node": null }));
    }
    assert_eq!(names.len(), ids.len());
    ids.clear();
    let seen = narrow
        .ask(
            "{ projects { nodes { name viewerCan { edit { allowed } } } totalCount } assets { totalCount } }",
            json!({}),
        )
        .await;
    assert_eq!(
        seen["projects"]["nodes"],
        json!([{ "name": "Own", "viewerCan": { "edit": { "allowed": true } } }])
    );
    assert_eq!((&seen["projects"]["totalCount"], &seen["assets"]["totalCount"]), (&json!(1), &json!(0)));
    let other =
        listed["projects"]["nodes"].as_array().unwrap().iter().find(|node| node["name"] == *other.name);
    assert_eq!(narrow.ask(node, json!({ "id": other.unwrap()["id"] })).await, json!({ "node": null }));
    for text in ["", "x", "QXNzZXQ6eA"] {
        assert_eq!(client.ask(node, json!({ "id": text })).await, json!({ "node": null }));
    }
}

async fn people_over_the_wire(world: &World) {
    let ground = Ground::new(world).await;
    let schema = schema(ground.domain.clone()).finish();
    let client = Client { schema: &schema, actor: ground.admin.clone() };
    let email = ground.address("dee");
    let invite = "mutation($input: UserCreateInput!) { userCreate(input: $input) {
        user { id version membership { id version role portfolio { whole projects { name } } } } userErrors { code field } } }";
    ground.project("Web").await;
    let project =
        client.ask("{ projects { nodes { id } } }", json!({})).await["projects"]["nodes"][0]["id"].clone();
    let input =
        json!({ "email": email, "name": "Dee", "role": "ANALYST", "portfolio": { "projects": [project] } });
    let user = client.ask(invite, json!({ "input": input })).await["userCreate"]["user"].clone();
    assert_eq!(user["membership"]["portfolio"], json!({ "whole": false, "projects": [{ "name": "Web" }] }));
    let bad = json!({ "email": "x", "name": "Dee", "role": "ANALYST", "portfolio": { "projects": ["x"] } });
    let bad = client.ask(invite, json!({ "input": bad })).await["userCreate"]["userErrors"].clone();
    assert_eq!(bad, json!([{ "code": "NOT_FOUND", "field": ["input", "portfolio", "projects"] }]));

    let update = "mutation($id: ID!, $input: MembershipUpdateInput!) {
        membershipUpdate(id: $id, expectedVersion: 1, input: $input) {
            membership { version role portfolio { whole } } userErrors { code } } }";
    let id = &user["membership"]["id"];
    let done = client.ask(update, json!({ "id": id, "input": { "portfolio": null } })).await;
    let expected = json!({ "version": 2, "role": "ANALYST", "portfolio": { "whole": true } });
    assert_eq!(done["membershipUpdate"]["membership"], expected);
    let remove = "mutation($id: ID!, $version: Int!) { membershipRemove(id: $id, expectedVersion: $version) {
        removedId userErrors { code } } }";
    let gone = client.ask(remove, json!({ "id": id, "version": 2 })).await;
    assert_eq!(gone["membershipRemove"]["removedId"], *id);
    assert_eq!(client.ask("{ users { totalCount } }", json!({})).await["users"]["totalCount"], 1);
}

/// Counts what this thread sends to the database.
#[derive(Default)]
pub struct Statements(Arc<Count>);

#[derive(Default)]
struct Count(AtomicU64);

impl metrics::CounterFn for Count {
    fn increment(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Statements {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }
}

impl metrics::Recorder for Statements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == "countersign_db_statements_total" {
            return Counter::from_arc(self.0.clone());
        }
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_page_with_what_it_refers_to_is_few_statements() {
    let ground = Ground::alone().await;
    let schema = schema(ground.domain.clone()).finish();
    let client = Client { schema: &schema, actor: ground.admin.clone() };
    for at in 0..30 {
        let team = ground.team(&format!("Team {at}"), &[ground.admin.id]).await;
        let new = NewAsset { name: format!("a{at}"), owner_team: Some(team.id), ..NewAsset::default() };
        ground.domain.asset_create(&ground.admin, new).await.unwrap();
    }
    let statements = Statements::default();
    let counted = metrics::set_default_local_recorder(&statements);
    let page = client
        .ask("{ assets(first: 30) { edges { cursor node { name ownerTeam { name members { email membership { role } } } } } pageInfo { hasNextPage endCursor } } }", json!({}))
        .await;
    drop(counted);
    // The page, its teams, who is in them, the users, and their memberships.
    assert_eq!(statements.count(), 5);
    let edges = page["assets"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 30);
    assert!(
        edges.iter().all(|edge| edge["node"]["ownerTeam"]["members"][0]["membership"]["role"] == "ADMIN")
    );
    assert_eq!(page["assets"]["pageInfo"], json!({ "hasNextPage": false, "endCursor": edges[29]["cursor"] }));
}

/// All is ours to describe, but for what every GraphQL server has.
#[tokio::test]
async fn everything_has_a_description() {
    let ground = Ground::alone().await;
    let schema = schema(ground.domain.clone()).finish();
    let asked =
        "{ __schema { directives { name description args { name description } } types { name kind description
        fields(includeDeprecated: true) { name description args { name description } }
        inputFields { name description } enumValues(includeDeprecated: true) { name description } } } }";
    let response = schema.execute(asked).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let data = api::graphql::data(&response);
    let mut silent = Vec::new();
    let mut check = |path: String, described: &Json| {
        if described["description"].as_str().is_none_or(|text| text.trim().is_empty()) {
            silent.push(path);
        }
    };
    for directive in data["__schema"]["directives"].as_array().unwrap() {
        let name = format!("@{}", directive["name"].as_str().unwrap());
        check(name.clone(), directive);
        for arg in directive["args"].as_array().unwrap() {
            check(format!("{name}({})", arg["name"].as_str().unwrap()), arg);
        }
    }
    for kind in data["__schema"]["types"].as_array().unwrap() {
        let name = kind["name"].as_str().unwrap();
        if name.starts_with("__") || name == "ID" {
            continue;
        }
        check(name.to_owned(), kind);
        for part in ["fields", "inputFields", "enumValues"] {
            for field in kind[part].as_array().into_iter().flatten() {
                let path = format!("{name}.{}", field["name"].as_str().unwrap());
                check(path.clone(), field);
                for arg in field["args"].as_array().into_iter().flatten() {
                    check(format!("{path}({})", arg["name"].as_str().unwrap()), arg);
                }
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}
