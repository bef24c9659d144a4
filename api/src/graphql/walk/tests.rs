//! What the specification says of errors, null, keys and kinds, on a toy schema.

use async_graphql::{
    Context, EmptyMutation, Error, Object, PathSegment, Request, Response, Result, Schema, SimpleObject,
    Subscription, Union, Value,
};
use futures_util::{Stream, StreamExt, stream};
use record::{record, root};

use super::Walked;
use super::root::{Root, Run};
use crate::graphql::data;

/// A node of a tree: its children are numbered below ten times its number.
struct Node(i64);

#[record]
#[Object]
impl Node {
    fn number(&self) -> i64 {
        self.0
    }

    fn odd_fails(&self) -> Result<i64> {
        if self.0 % 2 == 0 { Ok(self.0) } else { Err(Error::new("odd")) }
    }

    fn odd_fails_or_null(&self) -> Result<Option<i64>> {
        self.odd_failing().map(Some)
    }

    fn items(&self) -> Vec<Result<i64>> {
        vec![Ok(1), Err(Error::new("two")), Err(Error::new("three"))]
    }

    fn items_or_null(&self) -> Vec<Result<Option<i64>>> {
        vec![Ok(Some(1)), Err(Error::new("two")), Ok(None)]
    }

    fn list_or_null(&self) -> Option<Vec<Result<i64>>> {
        Some(vec![Err(Error::new("one"))])
    }

    fn itself(&self) -> &Self {
        self
    }

    fn itself_or_null(&self) -> Option<&Self> {
        Some(self)
    }

    fn plus(&self, #[graphql(default = 1)] more: i64) -> i64 {
        self.0 + more
    }

    async fn children(
        rows: &[&Self],
        ctx: &Context<'_>,
        #[graphql(default = 2)] count: i64,
    ) -> Result<Vec<Vec<Node>>> {
        ctx.data_unchecked::<Loads>().fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(rows.iter().map(|row| (0..count).map(|n| Node(row.0 * 10 + n)).collect()).collect())
    }

    async fn parent(rows: &[&Self], _ctx: &Context<'_>) -> Result<Vec<Option<Node>>> {
        Ok(rows.iter().map(|row| (row.0 > 9).then_some(Node(row.0 / 10))).collect())
    }

    async fn lost(_rows: &[&Self], _ctx: &Context<'_>) -> Result<Vec<Option<Node>>> {
        Err(Error::new("gone"))
    }

    async fn sum(&self) -> i64 {
        self.0 + 100
    }

    async fn pets(rows: &[&Self], _ctx: &Context<'_>) -> Result<Vec<Vec<Pet>>> {
        let pets = |row: &&Self| {
            vec![
                Pet::Cat(Cat { name: format!("cat {}", row.0), of: Node(row.0) }),
                Pet::Dog(Dog { name: "dog".to_owned(), of: Node(row.0 + 1) }),
                Pet::Cat(Cat { name: "cat".to_owned(), of: Node(row.0 + 2) }),
            ]
        };
        Ok(rows.iter().map(pets).collect())
    }
}

impl Node {
    fn odd_failing(&self) -> Result<i64> {
        if self.0 % 2 == 0 { Ok(self.0) } else { Err(Error::new("odd")) }
    }
}

type Loads = std::sync::Arc<std::sync::atomic::AtomicUsize>;

#[record]
#[derive(Union)]
enum Pet {
    Cat(Cat),
    Dog(Dog),
}

#[record]
#[derive(SimpleObject)]
struct Cat {
    name: String,
    of: Node,
}

#[record]
#[derive(SimpleObject)]
struct Dog {
    name: String,
    of: Node,
}

struct Query;

#[root]
#[Object]
impl Query {
    async fn node(&self, #[graphql(default = 2)] number: i64) -> Node {
        Node(number)
    }

    async fn maybe(&self, #[graphql(default = 2)] number: i64) -> Result<Option<Node>> {
        if number == 0 { Err(Error::new("none")) } else { Ok(Some(Node(number))) }
    }

    async fn later(&self) -> i64 {
        tokio::task::yield_now().await;
        1
    }
}

struct Stream0;

#[Subscription]
impl Stream0 {
    async fn nodes(&self) -> impl Stream<Item = Walked<Node>> {
        stream::iter([Walked(Node(2)), Walked(Node(3))])
    }
}

fn schema(loads: &Loads) -> Schema<Root<Query>, EmptyMutation, Stream0> {
    Schema::build(Root(Query), EmptyMutation, Stream0)
        .extension(Run::new(Query, EmptyMutation))
        .data(Loads::clone(loads))
        .finish()
}

/// The answer as text, and each error with its path. Its location is that of the field.
fn told(query: &str, response: &Response) -> (String, Vec<String>) {
    let mut text = Vec::new();
    crate::server::reply::write_value(&mut text, &response.data);
    let part = |part: &PathSegment| match part {
        PathSegment::Field(name) => name.clone(),
        PathSegment::Index(at) => at.to_string(),
    };
    let error = |error: &async_graphql::ServerError| {
        let field = error.path.iter().rfind(|part| matches!(part, PathSegment::Field(_))).map(part).unwrap();
        let [place] = error.locations[..] else { panic!("{error:?}") };
        assert!(query[place.column - 1..].starts_with(&field), "{query}: {error:?}");
        let path: Vec<String> = error.path.iter().map(part).collect();
        format!("{} at {}", error.message, path.join("/"))
    };
    (String::from_utf8(text).unwrap(), response.errors.iter().map(error).collect())
}

#[tokio::test]
async fn answers_are_those_of_the_specification() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("{ later node { number } }", r#"{"later":1,"node":{"number":2}}"#, &[]),
        (
            "{ b: node { n: number itself { number } n: number itself { sum } } }",
            r#"{"b":{"n":2,"itself":{"number":2,"sum":102}}}"#,
            &[],
        ),
        (
            "{ node { __typename plus p: plus(more: 40) } }",
            r#"{"node":{"__typename":"Node","plus":3,"p":42}}"#,
            &[],
        ),
        ("{ node { number @skip(if: true) } }", r#"{"node":{}}"#, &[]),
        (
            "{ node(number: 3) { number oddFailsOrNull sum } }",
            r#"{"node":{"number":3,"oddFailsOrNull":null,"sum":103}}"#,
            &["odd at node/oddFailsOrNull"],
        ),
        ("{ node(number: 3) { oddFails } later }", "null", &["odd at node/oddFails"]),
        (
            "{ maybe(number: 3) { oddFails } later }",
            r#"{"maybe":null,"later":1}"#,
            &["odd at maybe/oddFails"],
        ),
        ("{ x: maybe(number: 0) { number } later }", r#"{"x":null,"later":1}"#, &["none at x"]),
        (
            "{ node(number: 3) { itselfOrNull { itself { oddFails } } number } }",
            r#"{"node":{"itselfOrNull":null,"number":3}}"#,
            &["odd at node/itselfOrNull/itself/oddFails"],
        ),
        ("{ maybe { items } }", r#"{"maybe":null}"#, &["two at maybe/items/1", "three at maybe/items/2"]),
        (
            "{ node { itemsOrNull listOrNull } }",
            r#"{"node":{"itemsOrNull":[1,null,null],"listOrNull":null}}"#,
            &["two at node/itemsOrNull/1", "one at node/listOrNull/0"],
        ),
        (
            "{ node(number: 1) { children(count: 3) { number parent { number } lost { number } } } }",
            r#"{"node":{"children":[{"number":10,"parent":{"number":1},"lost":null},{"number":11,"parent":{"number":1},"lost":null},{"number":12,"parent":{"number":1},"lost":null}]}}"#,
            &["gone at node/children/0/lost", "gone at node/children/1/lost", "gone at node/children/2/lost"],
        ),
        (
            "{ maybe(number: 1) { children(count: 3) { parent { children { number } } oddFails } } later }",
            r#"{"maybe":null,"later":1}"#,
            &["odd at maybe/children/1/oddFails"],
        ),
        (
            "{ node(number: 1) { children { number itselfOrNull { parent { number } oddFails } } } }",
            r#"{"node":{"children":[{"number":10,"itselfOrNull":{"parent":{"number":1},"oddFails":10}},{"number":11,"itselfOrNull":null}]}}"#,
            &["odd at node/children/1/itselfOrNull/oddFails"],
        ),
        (
            "{ node { pets { __typename ... on Cat { name of { number } } ...d } } } fragment d on Dog { of { parent { number } n: number } }",
            r#"{"node":{"pets":[{"__typename":"Cat","name":"cat 2","of":{"number":2}},{"__typename":"Dog","of":{"parent":null,"n":3}},{"__typename":"Cat","name":"cat","of":{"number":4}}]}}"#,
            &[],
        ),
        (
            "{ node { pets { ... on Dog { name } ... on Pet { ... on Dog { of { number } } } } } __typename }",
            r#"{"node":{"pets":[{},{"name":"dog","of":{"number":3}},{}]},"__typename":"Query"}"#,
            &[],
        ),
        (
            "{ t: __type(name: \"Cat\") { name } node { number } }",
            r#"{"t":{"name":"Cat"},"node":{"number":2}}"#,
            &[],
        ),
    ];
    for (query, expected, errors) in cases {
        let response = schema(&Loads::default()).execute(*query).await;
        let (text, told) = told(query, &response);
        assert_eq!(
            (text.as_str(), told),
            (*expected, errors.iter().map(|e| (*e).to_owned()).collect()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn what_is_loaded_is_loaded_once_for_all_rows() {
    let loads = Loads::default();
    let query = "{ node { children(count: 9) { children(count: 9) { children(count: 2) { number } } } } }";
    let response = schema(&loads).execute(query).await;
    assert_eq!(loads.load(std::sync::atomic::Ordering::Relaxed), 3);
    assert_eq!(data(&response)["node"]["children"][8]["children"][3]["children"][1]["number"], 2831);
}

#[tokio::test]
async fn items_of_a_stream_are_answered_alike() {
    let query = "subscription { n: nodes { number parent { number } oddFails } }";
    let answers: Vec<_> = schema(&Loads::default()).execute_stream(Request::new(query)).collect().await;
    let told: Vec<_> = answers.iter().map(|answer| told(query, answer)).collect();
    let whole = r#"{"n":{"number":2,"parent":null,"oddFails":2}}"#.to_owned();
    let failed = vec!["odd at n/oddFails".to_owned()];
    assert_eq!(told, [(whole, vec![]), ("null".to_owned(), failed)]);
    assert_eq!(answers[1].data, Value::Null);
}
