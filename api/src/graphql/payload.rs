//! What mutations answer: the record, or what the caller can mend.

use std::borrow::Cow;

use async_graphql::indexmap::IndexMap;
use async_graphql::registry::{MetaEnumValue, MetaType, MetaTypeId, Registry};
use async_graphql::{
    Context, ContextSelectionSet, ID, MaybeUndefined, Name, OutputType, Positioned, ServerResult,
    SimpleObject,
};
use async_graphql::{Value, parser::types::Field};
use domain::Domain;
use domain::access::{Actor, Idempotency};
use domain::error::{Class, Code, Error, Result};
use record::record;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::id::Noun;
use super::scalars::Json;
use super::{actor, domain};

/// Why a mutation was refused, and what of its input is at fault.
#[record]
#[derive(SimpleObject)]
pub struct UserError {
    /// What kind of refusal it is; stable over releases.
    pub code: UserErrorCode,
    /// A sentence for people.
    pub message: String,
    /// The path of the input at fault, from the arguments down.
    pub field: Option<Vec<String>>,
    /// More for programs: `currentVersion` and `author` of a conflict, the faults of criteria.
    pub details: Option<Json>,
}

/// The codes of the domain that are refusals.
pub struct UserErrorCode(Code);

impl UserErrorCode {
    /// Its word in the schema.
    pub fn word(&self) -> &'static str {
        self.0.word()
    }
}

impl OutputType for UserErrorCode {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed("UserErrorCode")
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_output_type::<Self, _>(MetaTypeId::Enum, |_| {
            let refusals = Code::ALL.iter().filter(|code| code.class() == Class::Refusal);
            let value = |code: &Code| {
                let value = MetaEnumValue {
                    name: code.word().to_owned(),
                    description: Some(code.meaning().to_owned()),
                    deprecation: async_graphql::registry::Deprecation::NoDeprecated,
                    visible: None,
                    inaccessible: false,
                    tags: Vec::new(),
                    directive_invocations: Vec::new(),
                };
                (code.word().to_owned(), value)
            };
            MetaType::Enum {
                name: Self::type_name().into_owned(),
                description: Some("What a caller can mend.".to_owned()),
                enum_values: refusals.map(value).collect::<IndexMap<_, _>>(),
                visible: None,
                inaccessible: false,
                tags: Vec::new(),
                rust_typename: Some(std::any::type_name::<Self>()),
                directive_invocations: Vec::new(),
                requires_scopes: Vec::new(),
            }
        })
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        Ok(Value::Enum(Name::new(self.0.word())))
    }
}

impl From<Error> for UserError {
    fn from(error: Error) -> Self {
        Self {
            code: UserErrorCode(error.code),
            message: error.message,
            field: (!error.field.is_empty()).then_some(error.field),
            details: (!error.details.is_empty()).then(|| Json(error.details.into())),
        }
    }
}

/// What came of a mutation that was not stopped by a missing right, a limit or a fault.
pub struct Outcome<T>(pub std::result::Result<T, UserError>);

/// The id of a record that is gone.
pub struct Gone(pub Noun, pub Uuid);

impl From<Gone> for ID {
    fn from(Gone(noun, id): Gone) -> Self {
        noun.id(id)
    }
}

/// Declares payloads, each with the one field that it answers with.
macro_rules! payload {
    ($(#[doc = $doc:literal] $name:ident { #[doc = $field_doc:literal] $field:ident: $ty:ty })+) => {$(
        #[doc = $doc]
        #[record::record]
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            #[doc = $field_doc]
            $field: Option<$ty>,
            /// Why it was refused; empty if it was done.
            user_errors: Vec<$crate::graphql::payload::UserError>,
        }

        impl<T> From<$crate::graphql::payload::Outcome<T>> for $name
        where
            $ty: From<T>,
        {
            fn from(outcome: $crate::graphql::payload::Outcome<T>) -> Self {
                match outcome.0 {
                    Ok(done) => Self { $field: Some(done.into()), user_errors: Vec::new() },
                    Err(refused) => Self { $field: None, user_errors: vec![refused] },
                }
            }
        }
    )+};
}
pub(crate) use payload;

/// The change of a value that may be taken away: `None` leaves it as it is.
pub(crate) fn change<T>(input: MaybeUndefined<T>) -> Option<Option<T>> {
    match input {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// Runs a mutation: once for a key, however often it is sent. `replay` reads the record that
/// answered the first time.
pub(crate) async fn mutate<T, P, Run, Replay>(
    ctx: &Context<'_>,
    key: Option<String>,
    run: impl FnOnce(Domain, Actor) -> Run,
    replay: impl Fn(Domain, Actor, Uuid) -> Replay,
) -> async_graphql::Result<P>
where
    P: From<Outcome<T>>,
    Run: Future<Output = Result<T>>,
    Replay: Future<Output = Result<T>>,
{
    let domain = domain(ctx).clone();
    let arguments = ctx.field().arguments()?;
    let mut actor = actor(ctx)?.clone();
    actor.idempotency = key.map(|key| Idempotency { key, request: request(ctx.field().name(), &arguments) });
    // On the heap: what a mutation holds would lie in the frame of every root that is asked for the field before its own, and
    // those are more than the stack of a thread has room for.
    let done = Box::pin(once(&domain, actor, run, replay)).await;
    match done {
        Ok(done) => Ok(Outcome(Ok(done)).into()),
        Err(error) if error.class() == Class::Refusal => {
            let arguments: Vec<&str> = arguments.iter().map(|(name, _)| name.as_str()).collect();
            Ok(Outcome(Err(placed(error, &arguments).into())).into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn once<T, Run, Replay>(
    domain: &Domain,
    actor: Actor,
    run: impl FnOnce(Domain, Actor) -> Run,
    replay: impl Fn(Domain, Actor, Uuid) -> Replay,
) -> Result<T>
where
    Run: Future<Output = Result<T>>,
    Replay: Future<Output = Result<T>>,
{
    if let Some(answer) = domain.answered(&actor).await? {
        return replay(domain.clone(), actor, answer).await;
    }
    let error = match run(domain.clone(), actor.clone()).await {
        Err(error) if actor.idempotency.is_some() => error,
        done => return done,
    };
    // The same request may have got there first, between the question and the refusal.
    match domain.answered(&actor).await? {
        Some(answer) => replay(domain.clone(), actor, answer).await,
        None => Err(error),
    }
}

/// What a key stands for: the mutation and its arguments, whatever their order.
fn request(name: &str, arguments: &[(Name, Value)]) -> [u8; 32] {
    let arguments: serde_json::Map<String, serde_json::Value> = arguments
        .iter()
        .filter(|(name, _)| name.as_str() != "idempotencyKey")
        .map(|(name, value)| (name.to_string(), value.clone().into_json().unwrap_or_default()))
        .collect();
    let mut request = json!([name, arguments]);
    request.sort_all_objects();
    Sha256::digest(request.to_string()).into()
}

/// The domain names the fields of what it is given; here these are fields of the input.
fn placed(error: Error, arguments: &[&str]) -> Error {
    match error.field.first() {
        Some(first) if arguments.contains(&"input") && !arguments.contains(&first.as_str()) => {
            error.at("input")
        }
        _ => error,
    }
}
